"""The meter of completions of the older kind: bounds before the call, and its reply."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metering.call import Call
from metering.meters.completions import Completions
from metering.meters.meter import Meter, OutputLimits
from metering.usage import Unit, Usage
from tests.rows import INSTRUCT

METER = Completions()
LIMITS = OutputLimits(default=4000, most=4096)


def call(streams: bool = False, **fields: Any) -> Call:
    return Call("completions", INSTRUCT.id, dict(fields), streams, 100)


def test_it_is_a_meter() -> None:
    """The main path knows only the protocol."""
    meter: Meter = METER

    assert (meter.family, meter.fits, meter.tier(call())) == ("completions", True, "default")


@pytest.mark.parametrize(
    ("fields", "tokens", "choices"),
    [
        ({}, 13 + 1 + 64, 1),
        ({"prompt": "abc", "suffix": "de"}, 5 + 1 + 64, 1),
        ({"prompt": ["abc", "é"], "n": 3}, 5 + 2 + 64, 6),
        ({"prompt": ["abc", "é"], "n": 3, "best_of": 5}, 5 + 2 + 64, 10),
        ({"prompt": [1, 2, 3], "best_of": 20}, 3 + 1 + 64, 20),
        ({"prompt": [[1], [2], [3]]}, 3 + 3 + 64, 3),
    ],
)
def test_ceiling_has_every_answer_to_every_prompt(
    fields: dict[str, Any], tokens: int, choices: int
) -> None:
    """What `best_of` throws away is billed; a prompt is read once."""
    ceiling = METER.ceiling(call(**fields), INSTRUCT, output_limit=10)

    assert ceiling.usage() == Usage({Unit.INPUT: tokens, Unit.OUTPUT: 10 * choices})


@pytest.mark.parametrize(
    ("fields", "limit"),
    [({}, 16), ({"max_tokens": None}, 16), ({"max_tokens": 0}, 0), ({"max_tokens": 9000}, 4096)],
)
def test_output_limit_is_the_callers_or_openais(fields: dict[str, Any], limit: int) -> None:
    """Without one OpenAI stops at 16, whatever our own default is."""
    assert METER.output_limit(call(**fields), LIMITS) == limit


@pytest.mark.parametrize(
    ("given", "limit", "written"),
    [
        ({}, 16, {}),
        ({}, 9, {"max_tokens": 9}),
        ({"max_tokens": None}, 16, {"max_tokens": None}),
        ({"max_tokens": 500}, 77, {"max_tokens": 77}),
        ({"max_tokens": 0}, 0, {"max_tokens": 0}),
    ],
)
def test_limit_is_written_where_openais_own_would_not_do(
    given: dict[str, Any], limit: int, written: dict[str, Any]
) -> None:
    """What was held for is what OpenAI is told, or what it takes by itself."""
    made = call(**given)
    METER.prepare(made, output_limit=limit)

    assert made.fields == written


def test_usage_is_asked_for_in_every_stream() -> None:
    """As in a chat."""
    made = call(streams=True, stream_options={"include_obfuscation": False})
    asked = METER.asks_for_usage(made)
    METER.prepare(made, output_limit=16)

    assert not asked
    assert made.fields["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_counted_input_is_tighter_than_the_bytes() -> None:
    """The tokens of every prompt and of the suffix."""
    made = call(prompt=["The quick brown fox jumps over the lazy dog."] * 10, suffix="The end")

    assert METER.count_input(made, INSTRUCT) == 10 * 10 + 2 + 10 + 64
    assert METER.unseen(made, INSTRUCT) == Usage({Unit.INPUT: 102})


def test_reply_without_usage_is_counted_without_its_echo() -> None:
    """The prompt comes back with the reply; it was not written by the model."""
    made = call(prompt="Hello there", echo=True, n=2)
    watching = METER.reader(made, INSTRUCT, asked_for_usage=False)
    choices = [{"index": index, "text": "Hello there my friend"} for index in (0, 1)]
    watching.feed_json(json.dumps({"choices": choices}).encode())

    assert watching.source == "counted"
    assert watching.usage() == Usage({Unit.INPUT: 2, Unit.OUTPUT: 4})


def test_tokens_that_have_no_price_are_plain_input() -> None:
    """A row of this family has two prices."""
    watching = METER.reader(call(prompt="x"), INSTRUCT, asked_for_usage=False)
    details = {"cached_tokens": 3, "cache_write_tokens": 2}
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": details}
    watching.feed_json(json.dumps({"choices": [], "usage": usage}).encode())

    assert watching.usage() == Usage({Unit.INPUT: 10, Unit.OUTPUT: 1})
    assert watching.flagged == ["unit_not_priced"]
