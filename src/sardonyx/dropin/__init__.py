"""ONNX Runtime's face: the rest of its API, and its name in a process, so that programs run here.

    import sardonyx.dropin

    sardonyx.dropin.install()  # before anything imports onnxruntime
    import onnxruntime  # Sardonyx, under the version whose API it follows

`python -m sardonyx.dropin PROGRAM …` and `sardonyx exec PROGRAM …` do so for an unchanged program.
What is public in ONNX Runtime and no business of sessions lives in this room; the submodules that
both `sardonyx.X` and `onnxruntime.X` name are in `modules`, and only give names of this room.
"""

from sardonyx.dropin.face import FOLLOWS, install

__all__ = ["FOLLOWS", "install"]
