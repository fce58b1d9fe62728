"""The stub's pictures: `POST /v1/images/generations`, `/edits` and `/variations`."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from gateway.dev.stub_asked import Answer, Asked
from gateway.dev.stub_media import MediaReply, event, read_json, read_parts
from metering import tokens
from metering.images import sizes

USUAL_INPUT_IMAGE_TOKENS = 65 + 129  # A picture of one tile, at low fidelity.
AUTO_SIZE, AUTO_QUALITY = "1024x1024", "medium"


async def generations(asked: Asked) -> None:
    """Answer a call for pictures."""
    await _answer(asked, "images.generations", read_json(asked.request), images=0)


async def edits(asked: Asked) -> None:
    """Answer a call to change pictures."""
    parts = read_parts(asked.request)
    await _answer(asked, "images.edits", parts.fields, images=len(parts.files))


async def variations(asked: Asked) -> None:
    """Answer a call for variations of a picture."""
    parts = read_parts(asked.request)
    await _answer(asked, "images.variations", parts.fields, images=len(parts.files))


async def _answer(asked: Asked, endpoint: str, fields: dict[str, Any], *, images: int) -> None:
    streams = fields.get("stream") in (True, "true")
    reply = MediaReply(asked, endpoint=endpoint, model=fields["model"], streamed=streams)
    if not await reply.begins():
        return
    usage = bill_of(fields, images, worst=reply.script.worst)
    if reply.script.usage is not None:
        usage = dict(reply.script.usage)
    units = units_of(usage)
    if await reply.ends_early(usage, units):
        return
    picture = base64.b64encode(bytes(reply.script.picture_bytes)).decode()
    told = {"usage": usage} if reply.script.reports_usage else {}
    kind = "image_edit" if endpoint == "images.edits" else "image_generation"
    about = {"background": "opaque", "output_format": "png", "quality": _quality(fields)}
    about["size"] = _size(fields)
    if streams:
        partials = int(fields.get("partial_images") or 0)
        pieces = [
            event({"type": f"{kind}.partial_image", "b64_json": picture, **about, **index})
            for index in ({"partial_image_index": number} for number in range(partials))
        ]
        last = event({"type": f"{kind}.completed", "b64_json": picture, **about, **told})
        await reply.stream(pieces, b"text/event-stream; charset=utf-8", usage, units, last)
        return
    data = [{"b64_json": picture} for _ in range(int(fields.get("n") or 1))]
    body = {"created": int(time.time()), **about, "data": data, **told}
    reply.bill(usage, units, cut=reply.script.breaks_after is not None)
    await reply.whole(reply.script.body or json.dumps(body).encode())


def bill_of(fields: Mapping[str, Any], images: int, *, worst: bool) -> dict[str, Any]:
    """
    OpenAI's usage object of a call.

    Args:
        images: How many pictures it brings, the mask among them.
        worst: The most that the call allows, whatever it is likely to be.
    """
    model, n = str(fields["model"]), int(fields.get("n") or 1)
    prompt = str(fields.get("prompt") or "")
    if worst:
        text, each_in = len(prompt.encode()) + 16, sizes.input_tokens(model)
        each_out = sizes.output_tokens(
            model, fields.get("size") or "auto", fields.get("quality") or "auto"
        )
    else:
        text, each_in = tokens.count(prompt, "o200k_base"), USUAL_INPUT_IMAGE_TOKENS
        each_out = sizes.output_tokens(model, _size(fields), _quality(fields))
    if fields.get("stream") in (True, "true"):
        each_out += int(fields.get("partial_images") or 0) * 100
    text, pictures, made = n * text, n * images * each_in, n * each_out
    return {
        "input_tokens": text + pictures,
        "input_tokens_details": {"text_tokens": text, "image_tokens": pictures},
        "output_tokens": made,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
        "total_tokens": text + pictures + made,
    }


def units_of(usage: Mapping[str, Any]) -> dict[str, int]:
    """OpenAI's object with each token once, as the rate card names them."""
    read = usage.get("input_tokens_details") or {}
    made = usage.get("output_tokens_details") or {}
    pictures, text = read.get("image_tokens") or 0, made.get("text_tokens") or 0
    return {
        "input": usage["input_tokens"] - pictures,
        "image_input": pictures,
        "output": text,
        "image_output": usage["output_tokens"] - text,
    }


def _size(fields: Mapping[str, Any]) -> str:
    size = fields.get("size") or "auto"
    return AUTO_SIZE if size == "auto" else str(size)


def _quality(fields: Mapping[str, Any]) -> str:
    quality = fields.get("quality") or "auto"
    return AUTO_QUALITY if quality == "auto" else str(quality)


ROUTES: dict[tuple[str, str], Answer] = {
    ("POST", "/v1/images/generations"): generations,
    ("POST", "/v1/images/edits"): edits,
    ("POST", "/v1/images/variations"): variations,
}
