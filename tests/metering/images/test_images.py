"""Pictures: what they are worth in tokens, and that no call can be billed more than its ceiling."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from gateway.dev import stub_images
from metering.call import Call, UploadedFile
from metering.errors import BodyNotUnderstood, CostNotBounded
from metering.images.reply import ImagesReader
from metering.images.sizes import input_tokens, is_size, output_tokens
from metering.images.usage import read_usage
from metering.meters.images import Images
from metering.usage import Unit, Usage
from tests.media import CARD, ROWS

TABLE = [
    ("gpt-image-1.5", "1024x1024", "low", 272),
    ("gpt-image-1.5", "1024x1536", "low", 408),
    ("gpt-image-1-mini", "1536x1024", "low", 400),
    ("gpt-image-1", "1024x1024", "medium", 1056),
    ("gpt-image-1.5", "1536x1024", "medium", 1568),
    ("gpt-image-1.5", "1024x1024", "high", 4160),
    ("gpt-image-1.5", "1024x1536", "high", 6240),
    ("gpt-image-1.5", "auto", "auto", 6240),
    ("gpt-image-1.5", "512x512", "low", 408),
    # OpenAI's calculator for gpt-image-2, as published.
    ("gpt-image-2", "1024x1024", "high", 7024),
    ("gpt-image-2", "1536x1024", "high", 5488),
    ("gpt-image-2", "1792x1024", "high", 5063),
    ("gpt-image-2", "3584x2048", "high", 12329),
    ("gpt-image-2-2026-04-21", "1024x1024", "low", 196),
    ("gpt-image-2.5-flare", "1024x1024", "high", 2 * 7024),
    ("gpt-image-9", "1024x1024", "low", 2 * 196),
]


@pytest.mark.parametrize(("model", "size", "quality", "tokens"), TABLE)
def test_a_picture_has_the_published_tokens(model, size, quality, tokens):
    """By hand, from OpenAI's pages; unknown sizes and qualities are the dearest."""
    assert output_tokens(model, size, quality) == tokens


@pytest.mark.parametrize("model", ["gpt-image-1.5", "gpt-image-2", "gpt-image-2.5-flare"])
def test_auto_is_dearer_than_every_size_there_is(model):
    """Edges by 16 up to 3840x2160, ratios up to 3:1, each quality."""
    most = output_tokens(model, "auto", "auto")
    for width in range(256, 3841, 16):
        for height in range(width, 3 * width + 1, 16):
            if width * height <= 3840 * 2160 and height <= 3840:
                for quality in ("low", "medium", "high"):
                    for size in (f"{width}x{height}", f"{height}x{width}"):
                        tokens = output_tokens(model, size, quality)
                        assert tokens <= most
                        assert tokens <= output_tokens(model, size, "auto")


def test_what_is_a_size():
    """Digits, and no larger than any model makes."""
    assert all(map(is_size, ("auto", "1024x1024", "3840x2160", "16x48")))
    assert not any(map(is_size, ("", "x", "0x16", "016x16", "1e3x5", "3840x2176", "1024X1024")))


USAGES: list[tuple[dict[str, Any], bool, dict[str, int] | None, list[str]]] = [
    ({"input_tokens": 5, "output_tokens": 9}, False, {"input": 5, "image_output": 9}, []),
    (
        {"input_tokens": 5, "output_tokens": 9},
        True,
        {"image_input": 5, "image_output": 9},
        ["usage_has_no_details"],
    ),
    ({"input_tokens": 0, "output_tokens": 0}, False, {}, []),
    (
        {
            "input_tokens": 50,
            "output_tokens": 9,
            "input_tokens_details": {
                "text_tokens": 20,
                "image_tokens": 30,
                "cached_tokens_details": {"text_tokens": 8, "image_tokens": 10},
            },
            "output_tokens_details": {"text_tokens": 4, "image_tokens": 5},
        },
        True,
        {
            "input": 12,
            "cached_input": 8,
            "image_input": 20,
            "cached_image_input": 10,
            "output": 4,
            "image_output": 5,
        },
        [],
    ),
    (
        {"input_tokens": 5, "output_tokens": 1, "input_tokens_details": {"image_tokens": 6}},
        True,
        {"image_input": 5, "image_output": 1},
        ["usage_details_do_not_add_up"],
    ),
    (
        {"input_tokens": 5, "output_tokens": 1, "output_tokens_details": {"text_tokens": 2}},
        False,
        {"input": 5, "image_output": 1},
        ["usage_details_do_not_add_up"],
    ),
    ({"input_tokens": -5, "output_tokens": 1}, False, None, ["usage_not_understood"]),
    ({"input_tokens": 5}, False, None, ["usage_not_understood"]),
    ({"input_tokens": 5.5, "output_tokens": 1}, False, None, ["usage_not_understood"]),
    ({"input_tokens": True, "output_tokens": 1}, False, None, ["usage_not_understood"]),
    ({"input_tokens": 5, "output_tokens": 10**12}, False, None, ["usage_not_understood"]),
]


@pytest.mark.parametrize(("reported", "reads", "units", "flags"), USAGES)
def test_usage_counts_each_token_once(reported, reads, units, flags):
    """Worked out by hand; what contradicts itself is the dearest of its kind, and flagged."""
    flagged: list[str] = []
    priced = ROWS["gpt-image-1.5"].tiers["default"]

    usage = read_usage(msgspec.json.encode(reported), flagged, priced=priced, reads_images=reads)

    assert usage == (None if units is None else Usage.from_names(units))
    assert flagged == flags


def test_a_unit_without_a_price_is_billed_as_the_dearer_one():
    """gpt-image-1-mini has no price for text that it writes, nor for what was cached."""
    flagged: list[str] = []
    raw = msgspec.json.encode(
        {"input_tokens": 0, "output_tokens": 9}
        | {"output_tokens_details": {"text_tokens": 4, "image_tokens": 5}}
    )
    priced = ROWS["gpt-image-1-mini"].tiers["default"]

    usage = read_usage(raw, flagged, priced=priced, reads_images=False)

    assert usage == Usage({Unit.IMAGE_OUTPUT: 9})
    assert flagged == ["output_not_priced"]


def a_file(name: str = "image[]") -> UploadedFile:
    return UploadedFile(name, "a.png", "image/png", 9, b"", lambda offset, most: b"")


def a_call(model: str, fields: dict[str, Any], files: int, *, parts: bool) -> Call:
    fields = {"model": model} | fields
    streams = fields.get("stream") is True
    if parts:
        fields = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in fields.items()
        }
    return Call(
        endpoint="images",
        model=model,
        fields=fields,
        streams=streams,
        body_bytes=len(msgspec.json.encode(fields)),
        files=(a_file(),) * files,
        as_sent=object() if parts else None,
    )


def some_fields(chosen: random.Random) -> dict[str, Any]:
    """What a caller may ask for, or leave out."""
    streams = chosen.random() < 0.3
    fields: dict[str, Any] = {
        "prompt": "".join(chosen.choices("ab ,.漢Ɛ🐈", k=chosen.randint(1, 400))),
        "n": 1 if streams else chosen.randint(1, 10),
        "size": chosen.choice(
            ["auto", "1024x1024", "1024x1536", "1536x1024", "2048x2048", "3840x2160", "1264x704"]
        ),
        "quality": chosen.choice(["auto", "low", "medium", "high"]),
        "partial_images": chosen.randint(0, 3),
        "stream": streams,
        "background": "auto",
    }
    return {
        name: value for name, value in fields.items() if name == "prompt" or chosen.random() < 0.7
    }


@pytest.mark.parametrize("kind", ["generations", "edits"])
def test_no_bill_is_above_its_ceiling(kind):
    """1,500 calls at their worst, and at their usual, each priced as it would be charged."""
    chosen = random.Random(kind)
    meter = Images(kind)
    for _ in range(1_500):
        fields = some_fields(chosen)
        model = chosen.choice([row for row in ROWS if row.startswith("gpt-image")])
        files = chosen.randint(1, 17) if kind == "edits" else 0
        call = a_call(model, fields, files, parts=kind == "edits")
        rate = CARD.rate(model)
        meter.read(call)

        ceiling = rate.ceiling_cost(meter.ceiling(call, ROWS[model], output_limit=0).usage())

        for worst in (True, False):
            bill = stub_images.bill_of(call.fields, files, worst=worst)
            used = Usage.from_names(stub_images.units_of(bill))
            assert rate.cost(used) <= ceiling, (fields, files, bill)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": "01"}, "n"),
        ({"n": "1.0"}, "n"),
        ({"n": " 1"}, "n"),
        ({"n": "٣"}, "n"),
        ({"n": "11"}, "n"),
        ({"stream": "1"}, "stream"),
        ({"stream": "True"}, "stream"),
        ({"partial_images": "4"}, "partial_images"),
        ({"size": "99999x99999"}, "size"),
        ({"svg[model]": "gpt-6-astra"}, "svg[model]"),
        ({"image_url": "https://x"}, "image_url"),
        ({"n[]": ["1", "2"]}, "n[]"),
    ],
)
def test_a_field_of_a_part_is_what_it_says_or_refused(fields, param):
    """A number is its digits, and nothing that another reader may take for another number."""
    call = a_call("gpt-image-2", {"prompt": "x"}, 1, parts=True)
    call.fields |= fields

    with pytest.raises((BodyNotUnderstood, CostNotBounded)) as refused:
        Images("edits").read(call)

    named = getattr(refused.value, "param", None) or getattr(refused.value, "part", None)
    assert named == param


def test_an_unknown_file_is_refused():
    """Whatever it costs is not known."""
    call = a_call("gpt-image-2", {"prompt": "x"}, 1, parts=True)
    call.files = (*call.files, a_file("video"))

    with pytest.raises(CostNotBounded):
        Images("edits").read(call)


def test_a_reply_that_is_no_json_is_charged_as_what_was_asked_for():
    """It was answered with 200, so it was billed."""
    call = a_call("gpt-image-1.5", {"prompt": "x", "quality": "low", "n": 2}, 0, parts=False)
    reader = Images("generations").reader(call, ROWS["gpt-image-1.5"], asked_for_usage=True)
    assert isinstance(reader, ImagesReader)

    reader.feed_json(b"<html>")

    assert (reader.source, reader.flagged) == ("counted", ["reply_not_understood"])
    assert reader.usage()[Unit.IMAGE_OUTPUT] == 2 * 408


def test_a_picture_that_is_read_has_a_bound():
    """Four tiles and the most that high fidelity adds."""
    assert input_tokens("gpt-image-1.5") == 65 + 4 * 129 + 6240
