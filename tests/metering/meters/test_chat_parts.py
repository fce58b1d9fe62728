"""Ceilings of chat completions with images, speech, files, searches, tiers and predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from metering.call import Call
from metering.errors import CostNotBounded
from metering.meters.chat_completions import ChatCompletions
from metering.meters.meter import Ceiling, OutputLimits
from metering.prices import ModelRow
from metering.usage import Unit, Usage
from tests.metering.chat.parts import file, image, image_at, speech, text, user, wav
from tests.rows import AUDIO, SEARCHING, TEXT, TIERED, a_row

METER = ChatCompletions()
VISION = a_row("gpt-5.4", "chat", TEXT)
MINI = a_row("gpt-4o-mini", "chat", TEXT)
EVERYTHING = frozenset({"urls", "files", "hosted_tools", "stored"})
LIMITS = OutputLimits(default=4_000, most=16_384)


def call(row: ModelRow, *parts: dict[str, Any], **fields: Any) -> Call:
    """A prepared call; its body has as many bytes as its JSON."""
    body = {"model": row.id, "messages": user(text(), *parts), **fields}
    made = Call("chat.completions", row.id, body, False, 0, allowed=EVERYTHING)
    METER.prepare(made, output_limit=100)
    made.body_bytes = len(json.dumps(made.fields))
    return made


def ceiling(row: ModelRow, *parts: dict[str, Any], **fields: Any) -> Ceiling:
    return METER.ceiling(call(row, *parts, **fields), row, output_limit=100)


def size_of(row: ModelRow, *parts: dict[str, Any]) -> int:
    return call(row, *parts).body_bytes + 64


@pytest.mark.parametrize(
    ("row", "detail", "tokens"),
    [
        (VISION, "auto", 25_000),
        (VISION, "original", 25_000),
        (VISION, "low", 3_000),
        (MINI, "high", 50_000),
        (MINI, "low", 3_000),
    ],
)
def test_tiny_image_is_held_for_at_its_worst(row: ModelRow, detail: str, tokens: int) -> None:
    """A header of 24 bytes can claim any width and height."""
    two = (image(detail=detail), image(detail=detail))

    assert ceiling(row, *two).input_tokens == size_of(row, *two) + 2 * tokens


def test_image_in_the_body_is_never_more_than_the_model_reads() -> None:
    """Its bytes would be held for up to eight times over."""
    assert ceiling(VISION, image(b"\0" * 500_000)).input_tokens == VISION.max_input


def test_counted_image_is_its_worst_and_not_its_bytes() -> None:
    """So an app with little left can still show a photograph."""
    made = call(VISION, image(b"\0" * 500_000))

    assert 25_064 < METER.count_input(made, VISION) < 25_200


@pytest.mark.parametrize(
    "part",
    [
        image_at(),
        {"type": "file", "file": {"file_id": "file-1"}},
        file(b"%PDF-1.7", "application/pdf"),
        speech(b"OggS", "wav"),
    ],
)
def test_what_bytes_do_not_bound_is_bounded_by_the_model(part: dict[str, Any]) -> None:
    """When it is counted too."""
    assert ceiling(AUDIO, part).input_tokens == AUDIO.max_input
    assert METER.count_input(call(AUDIO, part), AUDIO) == AUDIO.max_input


def test_text_file_is_bounded_by_its_bytes() -> None:
    """And counted as text."""
    part = file(b"The quick brown fox jumps over the lazy dog. " * 10)
    found = METER.count_input(call(VISION, part), VISION)

    assert ceiling(VISION, part).input_tokens == size_of(VISION, part)
    assert 100 + 64 < found < 100 + 64 + 100


def test_speech_is_held_for_at_the_price_of_speech() -> None:
    """All of the prompt is, as it is not known which part is which."""
    part = speech(wav(2))
    found = ceiling(AUDIO, part)

    assert found.usage() == Usage({Unit.AUDIO_INPUT: size_of(AUDIO, part), Unit.OUTPUT: 100})
    assert 41 + 64 < METER.count_input(call(AUDIO, part), AUDIO) < 41 + 64 + 100


def test_speech_to_be_spoken_is_held_for_at_its_price() -> None:
    """Each choice may speak all of its limit."""
    spoken = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}, "n": 2}

    assert ceiling(AUDIO, **spoken).usage()[Unit.AUDIO_OUTPUT] == 200
    assert ceiling(AUDIO).output_unit is Unit.OUTPUT


def test_words_dearer_than_speech_are_held_for_as_words() -> None:
    """A spoken reply has a transcript."""
    row = a_row("gpt-odd", "chat", TEXT | {Unit.AUDIO_OUTPUT: 1})

    assert ceiling(row, modalities=["audio"]).output_unit is Unit.OUTPUT


@pytest.mark.parametrize(
    ("part", "fields", "parts"),
    [
        ("audio", {"modalities": ["audio"]}, ()),
        ("audio", {"audio": {"voice": "alloy", "format": "wav"}}, ()),
        ("input_audio", {}, (speech(wav()),)),
        ("web_search_options", {"web_search_options": {}}, ()),
    ],
)
def test_unit_without_a_price_is_refused(
    part: str, fields: dict[str, Any], parts: tuple[dict[str, Any], ...]
) -> None:
    """It is never free."""
    with pytest.raises(CostNotBounded) as refused:
        ceiling(VISION, *parts, **fields)
    assert refused.value.part == part


@pytest.mark.parametrize("fields", [{}, {"web_search_options": {}}, {"n": 3}])
def test_search_is_held_for_with_all_that_it_may_find(fields: dict[str, Any]) -> None:
    """A search for each choice, and as much input as the model reads."""
    found = ceiling(SEARCHING, **fields)
    n = fields.get("n", 1)

    assert found.usage() == Usage(
        {Unit.INPUT: SEARCHING.max_input, Unit.OUTPUT: 100 * n, Unit.WEB_SEARCHES: n}
    )


def test_alias_of_a_search_model_searches_too() -> None:
    """The name in the call does not say it; the row does."""
    made = replace(call(SEARCHING), model="our-own-name", allowed=frozenset())

    with pytest.raises(CostNotBounded) as refused:
        METER.ceiling(made, SEARCHING, output_limit=100)
    assert refused.value.part == "model"


@pytest.mark.parametrize(
    ("asked", "tier"),
    [
        (None, "default"),
        ("auto", "default"),
        ("default", "default"),
        ("flex", "flex"),
        ("priority", "priority"),
        ("fast", "priority"),
    ],
)
def test_tier_is_the_one_that_is_asked_for(asked: str | None, tier: str) -> None:
    """And written into the body by OpenAI's own name, so that no setting of ours decides."""
    made = call(TIERED, service_tier=asked)

    assert METER.tier(made) == made.fields["service_tier"] == tier


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_prediction_has_no_limit_unless_the_caller_sets_one(limit: str) -> None:
    """OpenAI refuses the two together; all that the model gives is held for instead."""
    prediction = {"type": "content", "content": "abc"}
    free = Call("chat", VISION.id, {"messages": [], "prediction": prediction}, False, 100)
    bound = Call("chat", VISION.id, {**free.fields, limit: 50}, False, 100)
    METER.prepare(free, output_limit=METER.output_limit(free, LIMITS))
    METER.prepare(bound, output_limit=METER.output_limit(bound, LIMITS))

    assert METER.output_limit(free, LIMITS) == 16_384
    assert not {"max_tokens", "max_completion_tokens"} & free.fields.keys()
    assert METER.ceiling(free, VISION, output_limit=16_384).output_is_fixed
    assert bound.fields[limit] == METER.output_limit(bound, LIMITS) == 50
    assert not METER.ceiling(bound, VISION, output_limit=50).output_is_fixed


@pytest.mark.parametrize(
    ("given", "stores", "written"),
    [
        ({}, False, {"store": False}),
        ({"store": None, "metadata": {"feature": "x"}}, False, {"store": False}),
        ({"store": True, "metadata": {"a": "b"}}, True, {"store": True, "metadata": {"a": "b"}}),
    ],
)
def test_store_is_always_said(given: Any, stores: bool, written: dict[str, Any]) -> None:
    """A setting of our account must not decide it; metadata goes only with it."""
    made = call(VISION, **given)

    assert made.stores is stores
    assert {key: made.fields[key] for key in ("store", "metadata") if key in made.fields} == written


def test_missing_usage_is_counted_part_by_part() -> None:
    """Images at their worst, speech by its length, a search with what it usually finds."""
    made = call(AUDIO, image(detail="low"), speech(wav(3)))
    watching = METER.reader(made, AUDIO, asked_for_usage=False)
    watching.feed_json(b'{"choices":[{"message":{"content":"a cat"}}]}')
    found = METER.reader(call(SEARCHING), SEARCHING, asked_for_usage=False)
    found.feed_json(b'{"choices":[{"message":{"content":"a cat"}}]}')

    assert watching.usage() == Usage({Unit.INPUT: 3_010, Unit.AUDIO_INPUT: 61, Unit.OUTPUT: 2})
    assert found.usage() == Usage({Unit.INPUT: 8_010, Unit.OUTPUT: 2, Unit.WEB_SEARCHES: 1})


@pytest.mark.parametrize(
    ("part", "least", "most"),
    [(image(b"\0" * 90_000), 1_000, 1_100), (speech(wav(10)), 100, 300)],
)
def test_checkpoint_takes_no_image_for_text(part: dict[str, Any], least: int, most: int) -> None:
    """If this process dies, the sweep charges no more than the call can have cost."""
    rough = ceiling(AUDIO, part).rough_input

    assert rough is not None
    assert least <= rough <= most
