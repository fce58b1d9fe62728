"""OpenAI's usage of a realtime response: details are parts of totals; each token counts once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metering.rates import Rate, RateCard
from metering.realtime.usage import read_transcription, read_usage
from metering.usage import Unit

RATE = RateCard.load().rate("gpt-realtime")
WITHOUT_IMAGES = RateCard.load().rate("gpt-4o-mini-realtime-preview")
WHISPER = RateCard.load().rate("whisper-1")
TRANSCRIBE = RateCard.load().rate("gpt-4o-mini-transcribe")

DOCUMENTED = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}


def read(usage: Any, rate: Rate = RATE) -> tuple[dict[Unit, int] | None, list[str]]:
    flagged: list[str] = []
    found = read_usage(json.dumps(usage).encode(), rate, flagged)
    return None if found is None else dict(found.items()), flagged


def test_each_token_is_counted_once():
    """The object of OpenAI's guide, whole."""
    assert read(DOCUMENTED) == (
        {
            Unit.INPUT: 55,
            Unit.CACHED_INPUT: 64,
            Unit.AUDIO_INPUT: 13,
            Unit.OUTPUT: 30,
            Unit.AUDIO_OUTPUT: 91,
        },
        [],
    )


@pytest.mark.parametrize(
    ("usage", "units", "flag"),
    [
        (
            {"input_tokens": 10, "output_tokens": 5},
            {Unit.AUDIO_INPUT: 10, Unit.AUDIO_OUTPUT: 5},
            "usage_without_details",
        ),
        (
            DOCUMENTED | {"input_tokens": 140},
            {Unit.INPUT: 55, Unit.CACHED_INPUT: 64, Unit.AUDIO_INPUT: 21, Unit.OUTPUT: 30,
             Unit.AUDIO_OUTPUT: 91},
            "usage_details_below_total",
        ),
        (
            DOCUMENTED | {"input_tokens": 100},
            {Unit.AUDIO_INPUT: 100, Unit.OUTPUT: 30, Unit.AUDIO_OUTPUT: 91},
            "usage_details_exceed_total",
        ),
        (
            DOCUMENTED | {"output_tokens": 100},
            {Unit.INPUT: 55, Unit.CACHED_INPUT: 64, Unit.AUDIO_INPUT: 13, Unit.AUDIO_OUTPUT: 100},
            "usage_details_exceed_total",
        ),
        (
            DOCUMENTED | {"input_token_details": "none"},
            {Unit.AUDIO_INPUT: 132, Unit.AUDIO_OUTPUT: 121},
            "usage_details_not_understood",
        ),
    ],
)  # fmt: skip
def test_what_is_not_told_apart_is_the_dearest_it_may_be(usage, units, flag):
    """Audio costs eight times what text does; what is odd is flagged."""
    found, flagged = read(usage)

    assert (found, set(flagged)) == (units, {flag})


def test_cached_tokens_of_no_kind_are_text():
    """Caching makes text least cheaper, and never more is cached than there is."""
    details = {"text_tokens": 20, "audio_tokens": 80, "cached_tokens": 50}
    units, _ = read({"input_tokens": 100, "output_tokens": 0, "input_token_details": details})

    assert units == {Unit.CACHED_INPUT: 20, Unit.AUDIO_INPUT: 80}


def test_more_cached_than_there_is_of_a_kind_is_not_believed():
    """Then nothing was cached."""
    parts = {"text_tokens": 30, "audio_tokens": 0}
    details = {"text_tokens": 20, "audio_tokens": 80, "cached_tokens_details": parts}
    units, flagged = read({"input_tokens": 100, "output_tokens": 0, "input_token_details": details})

    assert units == {Unit.INPUT: 20, Unit.AUDIO_INPUT: 80}
    assert flagged == ["usage_details_exceed_total"]


def test_images_without_a_price_cost_what_audio_does():
    """A unit without a price is never free."""
    details = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 70}
    usage = {"input_tokens": 70, "output_tokens": 0, "input_token_details": details}

    assert read(usage) == ({Unit.IMAGE_INPUT: 70}, [])
    assert read(usage, WITHOUT_IMAGES) == (
        {Unit.AUDIO_INPUT: 70},
        ["image_input_not_priced"],
    )


@pytest.mark.parametrize(
    "usage",
    [{}, [], None, {"input_tokens": -1, "output_tokens": 1}, {"input_tokens": 1},
     {"input_tokens": True, "output_tokens": 1}, {"input_tokens": 1.5, "output_tokens": 1},
     {"input_tokens": 10**10, "output_tokens": 1}, {"input_tokens": "1", "output_tokens": 1}],
)  # fmt: skip
def test_what_is_no_usage_is_none(usage):
    """Missing, negative, fractional, absurd: it is counted then."""
    assert read(usage) == (None, ["usage_not_understood"])


def test_an_explicit_zero_is_a_value():
    """Nothing was used."""
    assert read({"input_tokens": 0, "output_tokens": 0}) == ({}, [])


def test_a_transcript_is_billed_by_seconds_or_by_tokens():
    """Milliseconds are rounded up; a duration is nothing to a model that is priced by tokens."""
    flagged: list[str] = []
    tokens = {
        "type": "tokens", "input_tokens": 17, "output_tokens": 9, "total_tokens": 26,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 17},
    }  # fmt: skip
    seconds = {"type": "duration", "seconds": 1.0001}

    by_second = read_transcription(seconds, WHISPER, flagged)
    by_token = read_transcription(tokens, TRANSCRIBE, flagged)
    assert by_second is not None
    assert by_token is not None
    assert dict(by_second.items()) == {Unit.AUDIO_MILLISECONDS: 1001}
    assert dict(by_token.items()) == {Unit.AUDIO_INPUT: 17, Unit.OUTPUT: 9}
    assert flagged == []
    assert read_transcription(seconds, TRANSCRIBE, flagged) is None
    assert read_transcription({"type": "duration", "seconds": -1}, WHISPER, flagged) is None
    assert read_transcription(None, WHISPER, flagged) is None
