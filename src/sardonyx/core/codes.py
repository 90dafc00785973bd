"""What every error code means and how to mend it: the text behind `sardonyx explain E0203`.

Ranges: E01 files and formats, E02 feeds and run arguments, E03 graphs and shapes, E04 operators,
E05 limits, E06 convert, E07 quantize, compare and bench, E08 engine, E09 command line. Each range
is one table below, in order; a test keeps the tables equal to the codes that the source raises.
"""

from __future__ import annotations

from sardonyx.core.codes_graph import CODEGEN, GRAPHS, KINDS, QUANTIZE
from sardonyx.core.codes_tools import COMPARE, CONVERT
from sardonyx.core.explanation import Explanation

FILES = {
    "E0101": Explanation(
        "file cannot be read",
        "The file does not exist, is not a regular file, or may not be read.",
        "Check the path and its permissions.",
    ),
    "E0102": Explanation(
        "not an ONNX model",
        "The bytes break the rules of protobuf's wire format at the offset that is named, so "
        "they are damaged, cut short, or of another format.",
        "Fetch or export the file again; compare its size and digest with the source's.",
    ),
    "E0103": Explanation(
        "file cannot be written",
        "The target could not be created or renamed into place. What stood there is unchanged.",
        "Check the folder's permissions and the free space, or write elsewhere.",
    ),
    "E0104": Explanation(
        "unknown kind of source",
        "A model is loaded from a path, bytes, a binary file object or an onnx.ModelProto.",
        "Pass one of these.",
    ),
    "E0105": Explanation(
        "model too large for one file",
        "A protobuf message cannot be larger than 2 GiB.",
        "Save with external_data=True, which keeps the weights in a file beside the model.",
    ),
    "E0106": Explanation(
        "package missing",
        "This form of the model needs a package that is not installed.",
        "Install it, or use sx.save and sx.to_bytes, which need none.",
    ),
    "E0110": Explanation(
        "bad tensor dims",
        "A stored tensor has a negative dim or more elements than can be addressed.",
        "The exporter wrote a damaged tensor; export the model again.",
    ),
    "E0111": Explanation(
        "tensor data do not fit the dims",
        "The dims and the data type say how many bytes or elements a stored tensor has, and "
        "there are fewer or more.",
        "The exporter wrote a damaged tensor; export the model again.",
    ),
    "E0112": Explanation(
        "unusable data type",
        "The data type is not one of the 28 of ONNX, or not usable in this place.",
        "Cast to a type that ONNX has.",
    ),
    "E0113": Explanation(
        "tensor stored in two ways",
        "A stored tensor's elements must be in exactly one of its data fields.",
        "The exporter wrote a damaged tensor; export the model again.",
    ),
    "E0120": Explanation(
        "external data outside the model's folder",
        "External data must lie in the folder of the model file, named by a relative path "
        "without `..`. Anything else could make a model read any file of yours.",
        "Move the data file beside the model, and name it relative to the model.",
    ),
    "E0121": Explanation(
        "external data is not a plain file",
        "External data must be a regular file of the model's owner; links that lead out of the "
        "folder, devices, pipes, folders and hard links to other people's files are refused.",
        "Copy the data into a regular file beside the model.",
    ),
    "E0122": Explanation(
        "bad external data entry",
        "The keys of an external tensor are location, offset, length and checksum; offset and "
        "length are whole numbers, and each key occurs once.",
        "Save the model again with a tool that follows the ONNX standard.",
    ),
    "E0123": Explanation(
        "external data out of the file's bounds",
        "Offset and length do not lie inside the data file, or the length does not fit the dims.",
        "The data file is damaged, cut short, or of another model; fetch it again.",
    ),
    "E0124": Explanation(
        "external data without a folder",
        "The model came from bytes or a stream, so there is no folder to look for its data in.",
        "Load the model from its path, or name the folder with base_dir=.",
    ),
    "E0125": Explanation(
        "external data file missing",
        "The data file that the model names does not exist beside it.",
        "Copy the data file into the model's folder under the name that the model uses.",
    ),
    "E0130": Explanation(
        "one name for two things",
        "Two initializers of a graph, or two functions of a model, have the same name.",
        "The exporter wrote a damaged model; rename one of the two.",
    ),
    "E0131": Explanation(
        "attribute without a value",
        "An attribute's type says which of its fields holds the value, and that field is unset.",
        "The exporter wrote a damaged model; export it again.",
    ),
    "E0132": Explanation(
        "value that ONNX cannot store",
        "An attribute holds a Python value of a type that no ONNX attribute has.",
        "Use numbers, text, tensors, graphs or types, or tuples of one of these.",
    ),
}

OPERATORS = {
    "E0210": Explanation(
        "index out of range",
        "An operator was given a subscript outside the dim that it counts, from either end.",
        "Check the values fed; an index tensor often comes from a vocabulary of another size.",
    ),
    "E0211": Explanation(
        "value that an operator cannot use",
        "A shape, size, axis or other number computed while running does not fit the tensor that "
        "it is applied to.",
        "Check the values fed, and the shape arithmetic that leads to this node.",
    ),
    "E0212": Explanation(
        "text that is no number",
        "Cast was given text that cannot be read as a number of the wanted type.",
        "Clean the text before it is fed.",
    ),
    "E0320": Explanation(
        "wrong number of dims",
        "An operator's input has a rank that the operator does not take.",
        "The model contradicts the ONNX standard at this node; export it again, or report the "
        "exporter.",
    ),
    "E0321": Explanation(
        "axis out of range",
        "An axis is not one of the tensor's axes, counted from either end.",
        "The model contradicts the ONNX standard at this node; export it again, or report the "
        "exporter.",
    ),
    "E0322": Explanation(
        "dims do not fit",
        "Two dims that must be equal, or 1 for broadcasting, are known to differ.",
        "Look at where the two tensors come from: one of them has the wrong shape.",
    ),
    "E0323": Explanation(
        "element types differ",
        "Inputs that must have one element type have several.",
        "Put a Cast before the node.",
    ),
    "E0324": Explanation(
        "element type not allowed",
        "The operator is not defined for this element type.",
        "Put a Cast before the node.",
    ),
    "E0325": Explanation(
        "bad attribute or constant input",
        "An attribute, or an input whose value is known, is outside what the operator allows.",
        "The model contradicts the ONNX standard at this node; export it again, or report the "
        "exporter.",
    ),
    "E0326": Explanation(
        "element counts differ",
        "A Reshape asks for a shape with more or fewer elements than its input has.",
        "Where the model was exported for one batch size, export it with dynamic dims.",
    ),
}

FEEDS = {
    "E0230": Explanation(
        "no such symbol",
        "A size was given for a symbol that no input of the model has.",
        "Use one of the symbols that the message lists; `sardonyx show` prints them.",
    ),
    "E0231": Explanation(
        "input that cannot be made up",
        "Random inputs can be made for tensors of known rank and type only.",
        "Feed this input yourself.",
    ),
    "E0232": Explanation(
        "negative dim",
        "The sizes of the inputs would make a dim negative, of an input or inside the model, as "
        "where a window is larger than what it slides over.",
        "Give larger sizes.",
    ),
    "E0233": Explanation(
        "no array",
        "An array is wanted where something else was given: a mapping from input names to arrays, "
        "an object that cannot be read as an array, a sequence where only a tensor can be used.",
        "Pass numpy arrays, or objects with __dlpack__, __array_interface__ or __array__.",
    ),
    "E0201": Explanation(
        "input missing",
        "A run must feed every input of the model that has no default.",
        "Pass the inputs that the message names; `sardonyx show` lists them.",
    ),
    "E0202": Explanation(
        "no such input",
        "A feed has a name that the model does not use.",
        "Use the names that `sardonyx show` lists.",
    ),
    "E0203": Explanation(
        "input of another type",
        "A feed's element type is not the one the model declares, and nothing is cast silently.",
        "Convert the array as the help line says.",
    ),
    "E0204": Explanation(
        "no such output",
        "An output was asked for that the model does not have.",
        "Use the names that `sardonyx show` lists.",
    ),
    "E0205": Explanation(
        "input of another shape",
        "A feed's rank or a dim contradicts what the model declares.",
        "Reshape the array, or convert the model with a symbolic dim there.",
    ),
    "E0206": Explanation(
        "one symbol, two sizes",
        "Dims that the model gives the same name must have the same size in one run.",
        "Feed the same size wherever the model uses the name.",
    ),
    "E0207": Explanation(
        "dims that must be equal differ",
        "The model's operators need two dims to be equal, and the feeds make them differ.",
        "Feed arrays whose shapes agree in these dims.",
    ),
    "E0208": Explanation(
        "no such device", "Values live in the memory of the CPU here.", "Use the device `cpu`."
    ),
    "E0209": Explanation(
        "arrays cannot be read",
        "The file is no .npy, .npz or .json file, is damaged, or holds Python objects.",
        "Save the arrays again with numpy.save or numpy.savez.",
    ),
    "E0250": Explanation(
        "provider not installed",
        "The execution provider is known but its package is missing.",
        "Install it as the help line says.",
    ),
    "E0251": Explanation(
        "unknown provider",
        "No execution provider has that name.",
        "sx.get_all_providers() lists the known ones.",
    ),
    "E0252": Explanation(
        "provider failed",
        "The execution provider refused the model or failed while running; its reason is in the "
        "message.",
        "Try another provider; compare with `sardonyx check`.",
    ),
    "E0253": Explanation(
        "no such configuration entry",
        "An entry was asked for that was never added to the options.",
        "Add it first, or use the name that was added.",
    ),
    "E0254": Explanation(
        "loading was cancelled",
        "The session's options asked for loading to stop, and it did.",
        "Load the model again without asking for it to stop.",
    ),
    "E0255": Explanation(
        "no model given",
        "A session was made without a model.",
        "Pass a path, the bytes of a model, or a graph.",
    ),
    "E0256": Explanation(
        "not possible here",
        "ONNX Runtime can do this and Sardonyx cannot: libraries of custom operators, adapters "
        "switched per run, external data given as bytes.",
        "Do what the help line says instead.",
    ),
}

LIMITS = {
    "E0501": Explanation(
        "file too large",
        "The file is larger than the limit in force.",
        "Raise it with SARDONYX_LIMITS or the limits= argument if you trust the file.",
    ),
    "E0502": Explanation(
        "nested too deep",
        "Graphs inside graphs, or types inside types, go deeper than the limit in force.",
        "Raise it with SARDONYX_LIMITS or the limits= argument if you trust the model.",
    ),
    "E0503": Explanation(
        "too many parts",
        "The model has more nodes, initializers, fields or inlined nodes than the limit in force.",
        "Raise it with SARDONYX_LIMITS or the limits= argument if you trust the model.",
    ),
    "E0504": Explanation(
        "tensor too large",
        "A tensor's rank or size is beyond the limit in force.",
        "Raise it with SARDONYX_LIMITS or the limits= argument if you trust the model.",
    ),
    "E0505": Explanation(
        "constant folding too large",
        "Folding constants would make the model larger than the budget in force.",
        "Raise fold_bytes or fold_total with SARDONYX_LIMITS, or switch folding off.",
    ),
    "E0506": Explanation(
        "too much memory",
        "The run would need more memory than the share of this machine's memory in force.",
        "Feed a smaller batch, or raise memory_bytes or memory_share with SARDONYX_LIMITS.",
    ),
    "E0507": Explanation(
        "took too long",
        "Compiling or running took longer than the limit in force.",
        "Raise compile_seconds or run_seconds with SARDONYX_LIMITS.",
    ),
    "E0508": Explanation(
        "too many loop trips",
        "A Loop or Scan would run more trips than the limit in force.",
        "Raise trips with SARDONYX_LIMITS or the limits= argument if you trust the model.",
    ),
    "E0509": Explanation(
        "stopped",
        "The run was asked to stop and did so at its next step.",
        "Run it again to have its results.",
    ),
    "E0510": Explanation(
        "formula too large",
        "The formula of a dim has grown beyond what can be simplified in bounded time.",
        "Give the model fixed dims where it computes shapes.",
    ),
}

BENCH = {
    "E0740": Explanation(
        "contender cannot be imported",
        "A contender of a measurement is named `module:function`, and there is none of that name.",
        "Check the spelling, and that the module can be imported in a fresh interpreter.",
    ),
    "E0741": Explanation(
        "contender hangs",
        "A contender's process gave no answer within the time that was allowed.",
        "Allow more time, or measure a smaller input.",
    ),
    "E0742": Explanation(
        "contender died",
        "A contender's process ended while it was measured; its last words are shown.",
        "Run the model once with that provider alone to see the fault by itself.",
    ),
    "E0743": Explanation(
        "contender failed",
        "A contender could not load or run the model.",
        "Run the model once with that provider alone to see the fault by itself.",
    ),
    "E0744": Explanation(
        "contenders with the same name",
        "Two contenders of one measurement carry the same label.",
        "Give each its own label.",
    ),
    "E0745": Explanation(
        "nothing to measure with",
        "A measurement needs at least one set of inputs.",
        "Pass feeds, or let them be made from the model's inputs.",
    ),
    "E0746": Explanation(
        "impossible thread count",
        "A thread count is below 1, or none is given.",
        "Pass threads=(1,) or more.",
    ),
    "E0747": Explanation(
        "machine too busy to measure",
        "Every pair of times strayed too far from its neighbours to be counted.",
        "Let nothing else run on the machine, and measure again.",
    ),
    "E0748": Explanation(
        "contender without a name",
        "A contender is the name of a peer or of a provider.",
        "Name one of those that the message lists.",
    ),
}

ENGINE = {
    "E0801": Explanation(
        "malformed kernel",
        "A loop program breaks a rule of its language at the statement that is shown.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
    "E0802": Explanation(
        "code refused by LLVM",
        "The LLVM text made for a kernel does not parse or does not verify.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
    "E0803": Explanation(
        "compiler ended",
        "LLVM ended the process that compiled a kernel.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
    "E0804": Explanation(
        "code cannot be linked",
        "Machine code refers to a function that this process does not have.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
    "E0805": Explanation(
        "text of a kernel cannot be read",
        "A text of the loop language breaks its grammar at the line that is shown.",
        "Compare with what `sardonyx dump --stage loops` prints.",
    ),
    "E0806": Explanation(
        "element outside a buffer",
        "A loop program touched an element that its buffer does not have; the interpreter saw it.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
    "E0820": Explanation(
        "element type without machine form",
        "A kernel computes with a data type that machine code has no form for.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
    "E0821": Explanation(
        "operation without instructions",
        "A kernel holds an operation that machine code has no instructions for.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
    "E0822": Explanation(
        "one value wanted, many found",
        "Where one value is needed, an expression varies between the lanes of a vector loop.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
    "E0823": Explanation(
        "unknown variable or buffer",
        "A kernel uses a variable that has no value there, or a buffer that it does not have.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
    "E0824": Explanation(
        "statement without instructions",
        "A kernel holds a statement that no strategy has turned into machine code's terms.",
        "This is a fault of Sardonyx; please report it with the model.",
    ),
}

COMMAND = {
    "E0900": Explanation(
        "command line cannot be read",
        "There is no such command or option, or one of them lacks a value.",
        "Add --help to see how the command is called.",
    ),
    "E0901": Explanation(
        "unreadable setting",
        "An environment variable or option has a value that cannot be understood.",
        "Use the form that the message names, or unset it.",
    ),
    "E0902": Explanation(
        "unknown setting",
        "There is no setting of that name.",
        "`sardonyx doctor` lists the settings and their values.",
    ),
    "E0903": Explanation(
        "instruction set not available",
        "SARDONYX_CPU asks for an instruction set that this machine, or its hypervisor, lacks.",
        "Unset it, or take one of those that the message lists.",
    ),
    "E0904": Explanation(
        "unknown error code",
        "There is no error of that code.",
        "Look at the code again: a capital E and four digits.",
    ),
    "E0905": Explanation(
        "no such node",
        "The model has no node of that name or number.",
        "`sardonyx show MODEL` lists the nodes.",
    ),
    "E0906": Explanation(
        "no such stage",
        "A dump knows the stages graph, loops, schedule, llvm, asm and the names of passes.",
        "Use one that the message lists.",
    ),
    "E0907": Explanation(
        "no such operator", "No operator of that name is known.", "`sardonyx ops` lists them all."
    ),
    "E0910": Explanation(
        "shape cannot be read",
        "A shape is written name=1x3x224x224, with letters for symbolic dims.",
        "Correct it where the caret stands.",
    ),
    "E0911": Explanation(
        "symbol without a size",
        "A symbolic dim must have a size before data can be made for it.",
        "Bind it with --dim NAME=SIZE.",
    ),
    "E0912": Explanation(
        "model source cannot be read",
        "A model to convert is named file.py:name or package.module:name.",
        "Use one of these forms.",
    ),
    "E0913": Explanation(
        "no sample for this type",
        "Sample inputs are made for numbers only.",
        "Pass the input's data with --data.",
    ),
    "E0914": Explanation(
        "arrays cannot be written so",
        "Arrays are written as .npy (one) or .npz (several).",
        "Choose a file name with one of these endings.",
    ),
    "E0915": Explanation(
        "input cannot be read",
        "An input of a run is written name=file with a .npy, .npz or .json file, or the file "
        "alone where it holds all inputs.",
        "Correct it where the caret stands.",
    ),
    "E0930": Explanation(
        "packages of the demo missing",
        "The demo trains in PyTorch on images that come with scikit-learn, and exports by "
        "PyTorch's own exporter.",
        "pip install 'sardonyx[demo]', or `make demo` from a clone.",
    ),
    "E0931": Explanation(
        "folder of the demo cannot be made",
        "The target exists and holds something else than an earlier demo, or cannot be written.",
        "Name another folder with -o.",
    ),
    "E0999": Explanation(
        "our own fault",
        "Something failed that no check foresaw; the lines after the message show where.",
        "Please report it with those lines and, if you may, the model.",
    ),
}

CODES: dict[str, Explanation] = {
    **FILES,
    **FEEDS,
    **OPERATORS,
    **LIMITS,
    **BENCH,
    **ENGINE,
    **COMMAND,
    **GRAPHS,
    **KINDS,
    **CONVERT,
    **COMPARE,
    **QUANTIZE,
    **CODEGEN,
}
