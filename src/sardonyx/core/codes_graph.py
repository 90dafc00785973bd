"""Codes of graphs, operators, conversion and code generation; `core.codes` joins all tables."""

from __future__ import annotations

from sardonyx.core.explanation import Explanation

GRAPHS = {
    "E0301": Explanation(
        "value that nothing makes",
        "A node or a graph output reads a name that no input, initializer or node gives.",
        "Look for a misspelt name, or for a node that was taken out without its readers.",
    ),
    "E0302": Explanation(
        "name given twice",
        "Two values that are visible in one place have the same name, so a reader cannot tell "
        "them apart.",
        "Rename one of the two.",
    ),
    "E0303": Explanation(
        "cycle of nodes",
        "A node needs, by way of others, what is made from its own output.",
        "The exporter wrote a damaged graph; export the model again.",
    ),
    "E0304": Explanation(
        "node name used twice",
        "Several nodes have one name. They run all the same, but reports cannot tell them apart.",
        "Give nodes names of their own where you want to tell them apart.",
    ),
    "E0305": Explanation(
        "function that calls itself",
        "A model-local function calls itself, directly or by way of others; ONNX forbids it.",
        "Export the model again; use Loop or Scan for repetition.",
    ),
    "E0306": Explanation(
        "function call lacks an attribute",
        "The function requires an attribute that the call does not give.",
        "Give the attribute, or a default in the function.",
    ),
    "E0307": Explanation(
        "opset not imported",
        "A node is of a domain for which the model imports no opset, so its version is unknown.",
        "Add the domain to the model's opset_import.",
    ),
    "E0308": Explanation(
        "opset from the future",
        "The model needs a newer version of the standard than this one knows.",
        "Export the model for an older opset, or update Sardonyx.",
    ),
    "E0309": Explanation(
        "attribute does not fit the operator",
        "An attribute is unknown to the operator's version, missing, or of another type.",
        "Compare the node with the operator's page in the ONNX standard.",
    ),
    "E0310": Explanation(
        "wrong number of inputs or outputs",
        "The operator takes fewer or more inputs, or gives fewer outputs, than the node has.",
        "Compare the node with the operator's page in the ONNX standard.",
    ),
    "E0312": Explanation(
        "subgraph does not fit its node",
        "The inputs and outputs of a branch or body do not agree with those of If, Loop or Scan.",
        "The exporter wrote a damaged graph; export the model again.",
    ),
    "E0313": Explanation(
        "initializer unlike its declaration",
        "An initializer's type or dims differ from those that the graph declares for its name.",
        "Export the model again, or correct the declaration.",
    ),
    "E0314": Explanation(
        "nodes out of order",
        "ONNX wants nodes after those that they read from. They are sorted when the model is used.",
        "Save the model again to store the nodes in order.",
    ),
    "E0331": Explanation(
        "negative dim",
        "Shape inference finds a dim below zero, so the node cannot run on these shapes.",
        "Look at the node's inputs and attributes; the model may want a larger input.",
    ),
    "E0332": Explanation(
        "declared type is wrong",
        "The model declares another element type for a value than its operators give it.",
        "Export the model again, or remove the declaration.",
    ),
    "E0333": Explanation(
        "declared shape is wrong",
        "The model declares another rank or dim for a value than its operators give it.",
        "Export the model again, or remove the declaration.",
    ),
    "E0340": Explanation(
        "rewriting does not work",
        "A rule of the optimizer goes on without end, or a graph cannot be rewritten. Our fault.",
        "Report it with the model; meanwhile switch the rule off.",
    ),
    "E0341": Explanation(
        "attribute has a wrong value",
        "An attribute has a value that its operator does not allow, or another number of entries "
        "than the input has axes.",
        "Correct the attribute that the message names.",
    ),
    "E0342": Explanation(
        "window larger than the input",
        "A pooling or convolution window is larger than the padded input.",
        "Feed a larger input, or pad it.",
    ),
    "E0343": Explanation(
        "subgraph does not fit its node",
        "A branch or body has another number of inputs or outputs than its node needs.",
        "The exporter wrote a damaged graph; export the model again.",
    ),
    "E0344": Explanation(
        "inputs that an operator cannot have",
        "The types, shapes or known values of a node's inputs make no sense for its operator.",
        "The model contradicts the ONNX standard at this node; export it again, or report the "
        "exporter.",
    ),
    "E0345": Explanation(
        "text form cannot be read",
        "The text is not a graph in the text form; the caret shows where it stops being one.",
        "Compare with what `sardonyx dump MODEL --stage graph` prints.",
    ),
    "E0346": Explanation(
        "operator cannot be converted",
        "A later opset changed what the operator means in a way that cannot be written in it.",
        "Export the model for the wanted opset, or keep the opset it has.",
    ),
    "E0347": Explanation(
        "no such opset to convert to",
        "Models are converted to later opsets only, up to the latest one that is known.",
        "Choose an opset in the range that is named.",
    ),
}

KINDS = {
    "E0401": Explanation(
        "operator without a definition",
        "The operator is not known here. The model can be loaded, shown and saved, but not run.",
        "Use another provider, or define the operator (docs: custom operators).",
    ),
    "E0403": Explanation(
        "operator failed",
        "An operator could not compute its output from the values it was given.",
        "Compare the inputs that are named with the operator's page in the ONNX standard.",
    ),
    "E0404": Explanation(
        "value an operator cannot take",
        "A value met while running is outside what the operator allows: a condition of many "
        "elements, a position beyond the end.",
        "Look at what makes that value.",
    ),
}

QUANTIZE = {
    "E0710": Explanation(
        "calibration data do not fit the model",
        "Calibration needs an array for every input of the model, all with the same number of "
        "rows, and at least as many rows as the model takes at once.",
        "Name the arrays of the .npz like the inputs; `sardonyx show` lists them.",
    ),
    "E0711": Explanation(
        "calibration data say nothing",
        "There are no rows, or a tensor of the model was NaN or infinite for all of them, so no "
        "range follows for it.",
        "Look for NaN in the data and in the model's weights, and feed data like those of use.",
    ),
    "E0712": Explanation(
        "opset too old to quantize",
        "QuantizeLinear and DequantizeLinear know one scale per channel from opset 13 on.",
        "Convert the model again with opset 13 or newer.",
    ),
    "E0713": Explanation(
        "impossible choice in quantization",
        "A method, percentile, number of bits, operator type or node name cannot be used.",
        "Use one of those that the message names.",
    ),
    "E0714": Explanation(
        "nothing to quantize",
        "No node of the wanted operator types has float32 inputs and a constant weight.",
        "Widen --ops, shorten --exclude, or leave the model in float32.",
    ),
}

CODEGEN = {
    "E0820": Explanation(
        "no machine type",
        "Elements of this type have no form in a machine register. Our fault.",
        "Report it with the model; meanwhile the reference provider runs it.",
    ),
    "E0821": Explanation(
        "no machine instructions",
        "An operation on this type has no instructions yet. Our fault.",
        "Report it with the model; meanwhile the reference provider runs it.",
    ),
    "E0822": Explanation(
        "value differs between lanes",
        "Generated code needs one value where a vector has several. Our fault.",
        "Report it with the model; meanwhile the reference provider runs it.",
    ),
    "E0823": Explanation(
        "variable without a value",
        "Generated code reads a variable outside its loop. Our fault.",
        "Report it with the model; meanwhile the reference provider runs it.",
    ),
    "E0824": Explanation(
        "statement without instructions",
        "A kernel holds a statement that the code generator does not know. Our fault.",
        "Report it with the model; meanwhile the reference provider runs it.",
    ),
}
