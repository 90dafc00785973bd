"""Operators given what no model should give them: an answer or an error of ours, in bounds.

In CI one trial in so many; `-m exhaustive` tries all.
"""

import pytest

from fuzz.worker import cache
from ops import hostile

SHARDS = 8


def _faults(provider: str, cases: range, share: int) -> tuple[int, list[str]]:
    """How many trials were made, and what those did that may not be."""
    with cache() as folder:
        return hostile.tried(provider, cases, folder, share)


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "share"), [("reference", 60), ("native", 240)])
def test_a_share_of_hostile_values(provider: str, share: int) -> None:
    tried, found = _faults(provider, range(len(hostile.names())), share)
    assert tried > 50
    assert not found, "\n".join(found)


# Trials that ended the process, or in a fault of ours, when they were found.
KEPT = (
    ("test_sequence_map_add_2_sequences", "no input 1"),
    ("test_sequence_map_add_1_sequence_1_tensor", "no input 1"),
    ("test_if", "constant 0 empty"),
    ("test_attention_4d", "scale=-1.0"),
    ("test_loop11", "input 0 empty"),
    ("test_resize_upsample_scales_nearest", "no input 2"),
    ("test_tfidfvectorizer_tf_only_bigrams_skip0", "ngram_indexes=[-9223372036854775808"),
)


@pytest.mark.parametrize(("name", "label"), KEPT, ids=str)
@pytest.mark.parametrize("provider", ["reference", "native"])
def test_trials_that_were_found(provider: str, name: str, label: str) -> None:
    for told, model, feeds in hostile.trials(name):
        if told.startswith(label):
            assert hostile.attempt(model, feeds, provider) is None


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(SHARDS))
@pytest.mark.parametrize("provider", ["reference", "native"])
def test_every_hostile_value(provider: str, first: int) -> None:
    tried, found = _faults(provider, range(first, len(hostile.names()), SHARDS), 1)
    assert tried > 500
    assert not found, "\n".join(found)
