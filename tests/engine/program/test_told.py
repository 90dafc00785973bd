"""A host step that makes something else than its operator inferred ends in an error of ours."""

from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from sardonyx.core.errors import RuntimeException
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from session.models import graph

LIES: dict[str, Any] = {
    "another type": lambda x: x.astype(np.float64),
    "integers": lambda x: x.astype(np.int32),
    "another rank": lambda x: x.reshape(1, -1),
    "a shorter array": lambda x: x[:1],
    "a longer array": lambda x: np.concatenate([x, x, x, x]),
    "nothing": lambda _: None,
    "a list": lambda x: [x],
    "a number": lambda _: 1.0,
    "no outputs": lambda _: (),
}
TRUTHS: dict[str, Any] = {
    "itself": lambda x: x,
    "a view": lambda x: x[::-1],
    "a tuple": lambda x: (x * 2,),
}


def _session(made: Any, provider: str, after: str) -> sx.InferenceSession:
    class Told(Op, abstract=True):
        domain = "acme"

        def infer(self, x: Type) -> Type:
            return Type(x.dtype, x.shape)

        def reference(self, x: Any) -> Any:
            return made(x)

    text = f"""graph g {{
      opset "" 21
      opset acme 1
      input x: float32[n]
      h = acme::Told(x)
      {after}
      output y
    }}"""
    model = graph(text)
    for node in model.nodes:
        if node.op.op_type == "Told":
            model.set_op(node, Told())
    return sx.InferenceSession(model, providers=[provider])


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "InterpreterExecutionProvider"])
@pytest.mark.parametrize("after", ["y = Neg(h)", "y = Identity(h)", "y = Add(h, x)"])
@pytest.mark.parametrize("lie", LIES)
def test_lies_are_found(lie: str, after: str, provider: str) -> None:
    session = _session(LIES[lie], provider, after)
    with pytest.raises(RuntimeException, match="E0405") as caught:
        session.run(None, {"x": np.ones(3, np.float32)})
    assert caught.value.op == "Told"


@pytest.mark.parametrize("truth", TRUTHS)
def test_truths_are_taken(truth: str) -> None:
    session = _session(TRUTHS[truth], "CPUExecutionProvider", "y = Neg(h)")
    x = np.arange(3, dtype=np.float32)
    wanted = TRUTHS[truth](x)
    wanted = wanted[0] if isinstance(wanted, tuple) else wanted
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], -wanted)
