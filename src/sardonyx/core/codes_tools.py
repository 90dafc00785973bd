"""What the error codes of convert and compare mean."""

from __future__ import annotations

from sardonyx.core.explanation import Explanation

CONVERT = {
    "E0601": Explanation(
        "model cannot be made",
        "The Python file or module that should give the model failed, or has nothing of that name.",
        "Run it by itself; name a module, or a function without arguments that returns one.",
    ),
    "E0602": Explanation(
        "export failed",
        "PyTorch's own exporter could not convert the model; its reason is in the message.",
        "Check that model(*inputs) runs with these shapes; a dim the model fixes must be a number.",
    ),
    "E0603": Explanation(
        "a dim became fixed, or an input vanished",
        "The exporter runs forward() once and writes down what it did. Where the code uses a size "
        "as a plain number (a reshape to 3 rows, int(x.shape[0]), a loop over the batch), the "
        "export works for the example's size only, although a symbol was asked for. An input that "
        "forward() does not use is not exported.",
        "Let the code follow the input's size, or give a number in --input.",
    ),
    "E0604": Explanation(
        "source cannot run on the example",
        "Before the export, and while comparing, the model is run in its own framework on inputs "
        "of the shapes given. It failed there, so the shapes do not suit it.",
        "Give example sizes with --dim, or correct --input.",
    ),
    "E0605": Explanation(
        "converted model does not agree",
        "The exported model runs, and its outputs differ from the source's by more than the "
        "tolerance. Often forward() takes another path for other sizes (`if x.shape[0] > 4`), "
        "while an export holds one path only. Nothing was written.",
        "Make the code independent of the size, or look at the table and use --keep.",
    ),
    "E0606": Explanation(
        "exported model is not valid",
        "The exporter wrote a model that breaks the ONNX standard.",
        "Try another --opset, or report the node to the exporter's authors.",
    ),
    "E0607": Explanation(
        "nothing converts this",
        "The object is of no framework that can be converted, or packages are missing.",
        "Name a torch.nn.Module, or a function without arguments that returns one.",
    ),
    "E0608": Explanation(
        "inputs do not fit forward()",
        "The names in --input are not the parameters of forward(), or a parameter without a "
        "default is missing.",
        "Use the names of the parameters.",
    ),
}

COMPARE = {
    "E0760": Explanation(
        "unknown tolerance",
        "A tolerance is a class by name, or the largest difference allowed as a share of the "
        "largest value.",
        "Use one of the names in the message, or a number such as 1e-3.",
    ),
    "E0761": Explanation(
        "sides have different inputs",
        "Both sides are fed the same arrays, by name, or by position where the names differ. They "
        "have different numbers of inputs.",
        "Compare models with the same inputs.",
    ),
    "E0762": Explanation(
        "sides have different outputs",
        "Outputs are paired by name, or by position where the names differ. There are more on one "
        "side.",
        "Compare models with the same outputs.",
    ),
    "E0763": Explanation(
        "data lack an input",
        "The data must have an array for every input of the model, under its name.",
        "Name the arrays of the .npz like the inputs; `sardonyx show` lists them.",
    ),
    "E0764": Explanation(
        "different numbers of rows",
        "Arrays of inputs that share a batch dim must have the same number of rows.",
        "Cut the arrays to the same number of rows.",
    ),
    "E0765": Explanation(
        "nothing to compare with",
        "A comparison needs two models, or one model and two providers.",
        "Name a second model, or another provider with --against-provider.",
    ),
    "E0766": Explanation(
        "no inputs to compare on",
        "Inputs can be made up only where one side is an ONNX model, which declares their shapes.",
        "Pass data.",
    ),
}
