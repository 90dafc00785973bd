"""Every test of ONNX Runtime's Python API has a body here, or a reason why not."""

from dropin import test_api_others, test_api_sessions, test_api_values
from dropin.api_names import NAMES, NOT_OURS


def test_every_name_has_a_body_or_a_reason() -> None:
    here = {
        name.removeprefix("test_")
        for module in (test_api_sessions, test_api_values, test_api_others)
        for name in vars(module)
        if name.startswith("test_")
    }
    assert here & NOT_OURS.keys() == set()
    assert here | NOT_OURS.keys() == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)
