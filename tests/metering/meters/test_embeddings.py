"""The meter of embeddings: bounds before the call."""

from __future__ import annotations

from typing import Any

import pytest

from metering.call import Call
from metering.meters.embeddings import Embeddings
from metering.meters.meter import Meter
from metering.usage import Unit, Usage
from tests.rows import EMBEDDING

METER = Embeddings()


def call(value: Any) -> Call:
    return Call("embeddings", EMBEDDING.id, {"input": value}, False, 100)


def test_it_is_a_meter() -> None:
    """The main path knows only the protocol."""
    meter: Meter = METER

    assert (meter.family, meter.fits) == ("embeddings", False)
    assert meter.reader(call("x"), EMBEDDING, asked_for_usage=True).source == "none"


@pytest.mark.parametrize(
    ("value", "tokens", "choices"),
    [
        ("a" * 1000, 1000 + 1 + 64, 1),
        (["ab", "é"], 4 + 2 + 64, 2),
        ([7] * 500, 500 + 1 + 64, 1),
        ([[1, 2, 3], [4]], 4 + 2 + 64, 2),
    ],
)
def test_ceiling_is_bytes_or_elements(value: Any, tokens: int, choices: int) -> None:
    """No output; each input may be as long as the model reads."""
    ceiling = METER.ceiling(call(value), EMBEDDING, output_limit=0)

    assert ceiling.usage() == Usage({Unit.INPUT: tokens})
    assert ceiling.choices == choices


def test_counted_input_is_tighter_and_never_below_the_tokens() -> None:
    """One for each input is added."""
    made = call(["The quick brown fox jumps over the lazy dog."] * 10)

    assert METER.count_input(made, EMBEDDING) == 110
    assert METER.unseen(made, EMBEDDING) == Usage({Unit.INPUT: 100})
    assert METER.ceiling(made, EMBEDDING, output_limit=0).input_tokens > 400
