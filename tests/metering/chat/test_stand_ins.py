"""Tokens whose unit has no price: billed as OpenAI does, or as the dearest; never free."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metering.chat.stand_ins import TEXT_ONLY
from metering.chat.usage import read_usage
from metering.prices import Prices
from metering.usage import Unit, Usage
from tests.rows import SENSES, TEXT

ALL = TEXT | SENSES
DEAR_WRITES = TEXT | {Unit.CACHE_WRITE_12H: 99_000_000}


def read(
    prompt: int, output: int, prices: Prices = ALL, *, spoken: int = 0, **details: Any
) -> tuple[dict[str, int], list[str]]:
    reported = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"audio_tokens": spoken},
    }
    flagged: list[str] = []
    usage = read_usage(json.dumps(reported).encode(), flagged, prices)
    assert usage is not None
    assert usage.tokens == prompt + output
    return usage.as_names(), flagged


@pytest.mark.parametrize(
    ("details", "wanted"),
    [
        ({"audio_tokens": 60}, {"input": 40, "audio_input": 60}),
        ({"image_tokens": 70}, {"input": 30, "image_input": 70}),
        ({"image_tokens": 30, "audio_tokens": 70}, {"image_input": 30, "audio_input": 70}),
        (
            {"image_tokens": 50, "cached_tokens": 20},
            {"input": 30, "cached_input": 20, "image_input": 50},
        ),
        # More was cached than there is text: the rest was of images, then of speech.
        (
            {"image_tokens": 50, "audio_tokens": 40, "cached_tokens": 95},
            {"cached_input": 10, "cached_image_input": 50, "cached_audio_input": 35,
             "audio_input": 5},
        ),
        (
            {
                "image_tokens": 50,
                "audio_tokens": 40,
                "cached_tokens": 45,
                "cached_tokens_details": {"image_tokens": 25, "audio_tokens": 15},
            },
            {"input": 5, "cached_input": 5, "image_input": 25, "cached_image_input": 25,
             "audio_input": 25, "cached_audio_input": 15},
        ),
        (
            {"image_tokens": 50, "cached_tokens": 20, "cache_write_tokens": 25},
            {"input": 5, "cached_input": 20, "cache_write_30m": 25, "image_input": 50},
        ),
    ],
)  # fmt: skip
def test_each_part_is_counted_once(details: dict[str, Any], wanted: dict[str, int]) -> None:
    """Of 100 tokens of a prompt, worked out by hand."""
    found, flagged = read(100, 5, **details)

    assert found == wanted | {"output": 5}
    assert flagged == []


def test_speech_is_a_part_of_the_output() -> None:
    """What is left of it is text."""
    assert read(1, 100, spoken=80) == ({"input": 1, "output": 20, "audio_output": 80}, [])


def test_images_of_a_model_without_a_price_for_them_are_text() -> None:
    """As OpenAI bills them; those that were cached as cached text."""
    found, flagged = read(
        100, 1, TEXT, image_tokens=60, cached_tokens=80, cached_tokens_details={"image_tokens": 50}
    )

    assert (found, flagged) == ({"input": 20, "cached_input": 80, "output": 1}, [])


@pytest.mark.parametrize(
    ("prices", "wanted"),
    [
        (TEXT, {"input": 100, "output": 10}),
        (DEAR_WRITES, {"input": 60, "cache_write_12h": 40, "output": 10}),
    ],
)
def test_speech_without_a_price_is_billed_at_the_dearest(
    prices: Prices, wanted: dict[str, int]
) -> None:
    """And the row says that something was odd."""
    found, flagged = read(100, 10, prices, audio_tokens=40, spoken=10)

    assert (found, flagged) == (wanted, ["audio_without_asking"])


def test_parts_that_exceed_the_total_leave_the_speech() -> None:
    """It is the one part that costs many times as much as the rest."""
    found, flagged = read(100, 10, audio_tokens=90, image_tokens=20, spoken=11)

    assert found == {"input": 10, "audio_input": 90, "audio_output": 10}
    assert flagged == ["usage_details_exceed_total"] * 2


def test_text_only_knows_nothing_of_the_senses() -> None:
    """What a reader assumes that is told no prices."""
    assert set(TEXT_ONLY) == set(TEXT)
    assert Usage(dict.fromkeys(TEXT_ONLY, 1)).tokens == 5
