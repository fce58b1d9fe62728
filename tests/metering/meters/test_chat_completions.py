"""The meter of chat completions: bounds before the call, and what it writes into it."""

from __future__ import annotations

from typing import Any

import pytest

from metering.call import Call
from metering.errors import CostNotBounded
from metering.meters.chat_completions import ChatCompletions
from metering.meters.meter import Meter, OutputLimits, UsageReader
from metering.rates import RateCard
from metering.usage import Unit, Usage

METER = ChatCompletions()
ROW = RateCard.load().find("gpt-6-luna")
LIMITS = OutputLimits(default=16_384, most=128_000)


def call(body_bytes: int = 100, streams: bool = False, **fields: Any) -> Call:
    return Call("chat", "gpt-6-luna", {"messages": []} | fields, streams, body_bytes)


def test_it_is_a_meter() -> None:
    """The main path knows only the protocol."""
    meter: Meter = METER
    reading: UsageReader = meter.reader(call(), ROW, asked_for_usage=False)

    assert (meter.family, reading.source) == ("chat", "none")


def test_ceiling_is_the_bytes_and_the_limit_of_every_choice() -> None:
    """A token covers at least a byte; each choice may use the whole limit."""
    ceiling = METER.ceiling(call(body_bytes=500, n=3), ROW, output_limit=200)

    assert ceiling.usage() == Usage({Unit.INPUT: 564, Unit.OUTPUT: 600})


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({}, 16_384),
        ({"max_completion_tokens": None, "max_tokens": None}, 16_384),
        ({"max_completion_tokens": 1}, 1),
        ({"max_tokens": 20}, 20),
        ({"max_tokens": 10**6}, 128_000),
    ],
)
def test_output_limit_is_the_callers_or_ours(fields: dict[str, Any], limit: int) -> None:
    """Without a limit it is the default, never silently all that the model can give."""
    assert METER.output_limit(call(**fields), LIMITS) == limit


def test_rejected_prediction_is_output_beyond_the_limit() -> None:
    """What of a prediction is rejected is billed as output."""
    parts = [{"type": "text", "text": "ab"}, {"type": "text", "text": "é"}]
    text = call(prediction={"type": "content", "content": "12345"})
    listed = call(n=2, prediction={"type": "content", "content": parts})

    assert METER.ceiling(text, ROW, output_limit=10).output_tokens == 15
    assert METER.ceiling(listed, ROW, output_limit=10).output_tokens == 28


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({}, {"max_completion_tokens": 77}),
        ({"max_tokens": None}, {"max_tokens": None, "max_completion_tokens": 77}),
        ({"max_tokens": 500}, {"max_tokens": 77}),
        ({"max_completion_tokens": 500}, {"max_completion_tokens": 77}),
        (
            {"max_tokens": 500, "max_completion_tokens": 500},
            {"max_tokens": 77, "max_completion_tokens": 77},
        ),
    ],
)
def test_limit_is_written_where_the_callers_own_is(
    given: dict[str, Any], written: dict[str, Any]
) -> None:
    """What was held for is what is forwarded."""
    made = call(**given)
    METER.prepare(made, output_limit=77)

    always = {"messages": [], "service_tier": "default", "store": False}
    assert made.fields == always | written


def test_usage_is_asked_for_in_every_stream() -> None:
    """The caller's other options stay, and its own wish is known before."""
    made = call(streams=True, stream_options={"include_obfuscation": False}, service_tier="auto")
    asked = METER.asks_for_usage(made)
    METER.prepare(made, output_limit=9)

    assert not asked
    assert METER.asks_for_usage(made)
    assert made.fields["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert made.fields["service_tier"] == "default"


def test_json_call_gets_no_stream_options() -> None:
    """OpenAI refuses them without a stream."""
    made = call()
    METER.prepare(made, output_limit=5)

    assert "stream_options" not in made.fields


def test_counted_input_is_tighter_than_the_bytes() -> None:
    """Ordinary English has four to five bytes a token."""
    text = "The quick brown fox jumps over the lazy dog. " * 100
    made = call(body_bytes=len(text) + 60, messages=[{"role": "user", "content": text}])

    assert 1000 < METER.count_input(made, ROW) < 1200


def test_fields_are_checked() -> None:
    """The meter refuses what it cannot bound."""
    with pytest.raises(CostNotBounded):
        METER.read(call(messages=[{"role": "user", "content": "x"}], web_search_options={}))
