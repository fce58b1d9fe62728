"""Chat completions with more than texts, end to end: what OpenAI billed is what is charged."""

from __future__ import annotations

from typing import Any

import pytest

from metering.money import Credits
from tests.gateway.storing import own
from tests.metering.chat.parts import file, image, image_at, mp3, speech, text, user, wav
from tests.rows import (
    AUDIO,
    SEARCHING,
    SENSES,
    TEXT,
    TIERED,
    a_row,
    add_rows,
    charged_by_unit,
    switch_on,
)

pytestmark = pytest.mark.anyio

VISION = a_row("gpt-5.4", "chat", TEXT)
MINI = a_row("gpt-4o-mini", "chat", TEXT)
LONG = a_row("gpt-5.2", "chat", TEXT, context_window=400_000, max_output=128_000)
ALL = a_row("gpt-audio-all", "chat", TEXT | SENSES)
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}


async def asks(house: Any, acme: Any, row: Any, *parts: Any, **fields: Any) -> Any:
    """A call of `What is this` (3 tokens, 10 with what is around it) and these parts."""
    add_rows(house, VISION, MINI, LONG, ALL, AUDIO, SEARCHING, TIERED)
    return await house.chat(acme, model=row.id, messages=user(text(), *parts), **fields)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("row", "parts", "fields", "usage", "credits"),
    [
        # 18 credits for a dollar: 45 for a million of text in, 180 out, 576 heard, 1152 spoken.
        (VISION, [image()], {}, {"input": 775, "output": 1}, "0.035055"),
        (VISION, [image(detail="low")] * 2, {"n": 2}, {"input": 180, "output": 2}, "0.00846"),
        (ALL, [image()], {}, {"input": 10, "image_input": 765, "output": 1}, "0.06948"),
        (ALL, [speech(wav(3))], {}, {"input": 10, "audio_input": 30, "output": 1}, "0.01791"),
        (ALL, [speech(mp3(9), "mp3")], {}, {"input": 10, "audio_input": 10, "output": 1},
         "0.00639"),
        (ALL, [], SPOKEN, {"input": 10, "output": 1, "audio_output": 40}, "0.04671"),
        (VISION, [file(b"Hello")], {}, {"input": 11, "output": 1}, "0.000675"),
        (VISION, [file(b"%PDF-1.7", "application/pdf")], {}, {"input": 1510, "output": 1},
         "0.06813"),
    ],
)  # fmt: skip
async def test_each_part_is_charged_exactly(house, row, parts, fields, usage, credits, streams):
    """Each token once, in its own unit; JSON and streams alike."""
    acme = await house.business()
    house.openai.says("Ok")

    reply = await asks(house, acme, row, *parts, stream=streams, **fields)

    assert reply.status_code == 200, reply.text
    (charged,) = await charged_by_unit(acme)
    assert (charged.usage, charged.usage_source) == (usage, "reported")
    assert str(charged.credits_used) == credits
    assert charged.credits_held >= charged.credits_used


async def test_cached_parts_have_their_own_prices(house):
    """Of images and of speech, as OpenAI tells them apart."""
    acme = await house.business()
    parts = {"image_tokens": 700, "audio_tokens": 20}
    house.openai.says("Ok")
    house.openai.changes(cached_tokens=725, cached_parts=parts)

    await asks(house, acme, ALL, image(), speech(wav(3)))

    (row,) = await charged_by_unit(acme)
    assert row.usage == {
        "input": 5,
        "cached_input": 5,
        "image_input": 65,
        "cached_image_input": 700,
        "audio_input": 10,
        "cached_audio_input": 20,
        "output": 1,
    }


@pytest.mark.parametrize(
    ("row", "parts", "fields"),
    [
        (VISION, [image(), image(detail="original")], {"n": 3}),
        (VISION, [image(detail="low")], {}),
        (MINI, [image(detail="high"), image(detail="low")], {}),
        (ALL, [image(), speech(wav(30))], SPOKEN),
        (ALL, [speech(wav(1, rate=4_000, bits=8))], SPOKEN | {"n": 2}),
        (LONG, [file(b"one two")], {"prediction": {"type": "content", "content": "x" * 900}}),
    ],
)
async def test_worst_bill_is_within_what_was_held(house, row, parts, fields):
    """Each image at the dearest that is documented, each second at twice its tokens."""
    acme = await house.business("5000.00")
    house.openai.worst_case()

    reply = await asks(house, acme, row, *parts, **fields)

    assert reply.status_code == 200, reply.text
    (charged,) = await charged_by_unit(acme)
    assert charged.credits_held >= charged.credits_used > Credits(0)


async def test_counted_image_leaves_room_for_a_small_balance(house):
    """Its bytes would cost 5.58 credits, its worst 1.13; 3 are enough for that."""
    acme = await house.business("3.00")
    house.openai.worst_case()

    reply = await asks(house, acme, VISION, image(b"\0" * 300_000), max_completion_tokens=300)

    assert reply.status_code == 200
    (row,) = await charged_by_unit(acme)
    assert Credits.parse("1.10") < row.credits_used <= row.credits_held < Credits.parse("1.30")


@pytest.mark.parametrize(
    ("switch", "part"),
    [("urls", image_at()), ("files", {"type": "file", "file": {"file_id": "file-1"}})],
)
async def test_what_is_elsewhere_needs_its_switch(house, switch, part):
    """Without it 400; with it as much is held as the model can read."""
    acme = await house.business()
    refused = await asks(house, acme, VISION, part)
    switch_on(house, switch)
    await own(acme, "file-1")
    house.openai.changes(found_tokens=120_000)

    served = await asks(house, acme, VISION, part)

    assert refused.json()["error"]["code"] == "cost_not_bounded"
    assert served.status_code == 200
    (row,) = await charged_by_unit(acme)
    assert row.credits_held >= row.credits_used > Credits.parse("5.40")


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("reported", "billed"), [(None, 1), (0, 0), (1, 1)], ids=["unsaid", "none", "one"]
)
async def test_searches_are_charged_as_reported_or_one_for_a_call(house, streams, reported, billed):
    """At 10 dollars a thousand; a search model searches whatever it is asked."""
    acme = await house.business()
    switch_on(house, "hosted_tools")
    house.openai.says("Sunny")
    house.openai.changes(found_tokens=8_000, searches=reported)
    if reported == 0:
        house.openai.changes(searches=0)

    reply = await asks(house, acme, SEARCHING, stream=streams)

    assert reply.status_code == 200
    (row,) = await charged_by_unit(acme)
    assert row.usage.get("web_searches", 0) == billed
    assert row.usage["input"] == 8_010
    assert row.credits_held >= row.credits_used


async def test_a_search_model_needs_its_switch(house):
    """Refused by its name."""
    acme = await house.business()

    reply = await asks(house, acme, SEARCHING)

    assert reply.json()["error"]["param"] == "model"
    assert house.openai.requests == []


@pytest.mark.parametrize(
    ("asked", "forwarded", "credits"),
    [
        (None, "default", "0.00063"),
        ("auto", "default", "0.00063"),
        ("flex", "flex", "0.000315"),
        ("priority", "priority", "0.00126"),
        ("fast", "priority", "0.00126"),
    ],
)
async def test_tier_that_was_asked_for_is_held_for_and_charged(house, asked, forwarded, credits):
    """10 tokens in and one out, at half the price or twice it."""
    acme = await house.business()
    house.openai.says("Ok")

    reply = await asks(house, acme, TIERED, service_tier=asked)

    assert reply.json()["service_tier"] == forwarded
    assert house.openai.requests[0].fields["service_tier"] == forwarded
    (row,) = await charged_by_unit(acme)
    assert str(row.credits_used) == credits
    assert row.credits_held >= row.credits_used


async def test_tier_without_a_price_is_refused(house):
    """This model has one only."""
    acme = await house.business()

    reply = await asks(house, acme, VISION, service_tier="flex")

    assert reply.json()["error"]["param"] == "service_tier"
    assert house.openai.requests == []


async def test_a_tier_that_openai_lowers_is_charged_as_served(house):
    """Priority is no promise."""
    acme = await house.business()
    house.openai.changes(body=b'{"service_tier":"default","choices":[],"model":"gpt-tiered",'
                         b'"usage":{"prompt_tokens":10,"completion_tokens":1}}')  # fmt: skip

    await asks(house, acme, TIERED, service_tier="priority")

    (row,) = await acme.transactions()
    assert str(row.credits_used) == "0.00063"


async def test_a_prediction_goes_without_a_limit_of_ours(house):
    """OpenAI refuses the two together; all that the model gives is held for."""
    acme = await house.business()
    prediction = {"type": "content", "content": "def f(): ..."}

    reply = await asks(house, acme, VISION, prediction=prediction)

    assert reply.status_code == 200
    forwarded = house.openai.requests[0].fields
    assert not {"max_tokens", "max_completion_tokens"} & forwarded.keys()
    (row,) = await charged_by_unit(acme)
    assert row.credits_held >= Credits.parse("2.94")  # 16,384 tokens at 180 a million.


async def test_a_prediction_is_never_fitted(house):
    """A lower limit could not be written into the body, so it would be no limit."""
    acme = await house.business("2.00")

    reply = await asks(house, acme, VISION, prediction={"type": "content", "content": "x"})

    assert reply.status_code == 402
    assert house.openai.requests == []


async def test_stored_completions_need_their_switch(house):
    """store is false in every other call, and metadata stays here."""
    acme = await house.business()
    fields = {"store": True, "metadata": {"feature": "poem"}}
    refused = await asks(house, acme, VISION, **fields)
    await asks(house, acme, VISION, metadata={"feature": "poem"})
    switch_on(house, "stored")

    await asks(house, acme, VISION, **fields)

    assert refused.json()["error"]["param"] == "store"
    plain, stored = (request.fields for request in house.openai.requests)
    assert (plain["store"], "metadata" in plain) == (False, False)
    assert (stored["store"], stored["metadata"]) == (True, {"feature": "poem"})
    assert [row.feature for row in await charged_by_unit(acme)] == ["poem", "poem"]


async def test_speech_of_a_caller_who_hangs_up_is_charged_as_billed(house):
    """The stream is read on, to its usage."""
    acme = await house.business()
    add_rows(house, ALL)

    await house.chat_left_after(acme, 1, model=ALL.id, **SPOKEN)

    (row,) = await charged_by_unit(acme)
    assert row.usage["audio_output"] == 40


async def test_another_model_that_lacks_a_price_is_charged_as_was_held(house):
    """The row is flagged, and no settlement is lost."""
    acme = await house.business()
    house.openai.changes(model="gpt-5.4")

    reply = await asks(house, acme, ALL, speech(wav(3)))

    assert reply.status_code == 200
    (row,) = await acme.transactions()
    assert (row.outcome, row.usage["audio_input"], row.model) == ("settled", 30, ALL.id)
