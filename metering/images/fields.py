"""
The fields of a call that makes pictures: which are known, and which could cost without bound.

An unknown field is refused, because it may cost: the list is that of the official SDK (openai
3.51, `image_generate_params` and `image_edit_params`). In a body of several parts every field
is a text, so a number is read from its digits and from nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metering.call import Call
from metering.chat.checks import Check, boolean, never, string, whole, wrong
from metering.errors import BodyNotUnderstood, CostNotBounded
from metering.images.sizes import is_size

MOST_IMAGES = 10  # OpenAI's own limit of n.
MOST_PROMPT = 32_000  # Characters; OpenAI's own limit.
MOST_INPUT_IMAGES = 16

_DIGITS = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What decides how many tokens a call uses."""

    prompt: str
    n: int
    size: str
    quality: str
    partial_images: int
    input_images: int


def read_fields(call: Call, kind: str) -> Wanted:
    """
    Check every field, and every file, that can cost.

    Args:
        kind: "generations", "edits" or "variations".

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: A part may cost more than is known, or is not known to us.
    """
    known = _FIELDS[kind]
    fields = _typed(call) if call.as_sent is not None else call.fields
    for name, value in fields.items():
        check = known.get(name)
        if check is None:
            raise CostNotBounded(name[:64], f"is not a field of images/{kind} that is known here")
        if value is not None:
            check(name, value)
    prompt = fields.get("prompt")
    if prompt is None and kind != "variations":
        raise BodyNotUnderstood("prompt is missing; it must be a text", "prompt")
    n = fields.get("n")
    wanted = Wanted(
        prompt=prompt or "",
        n=1 if n is None else n,
        size=fields.get("size") or "auto",
        quality=_quality(fields),
        partial_images=fields.get("partial_images") or 0,
        input_images=_input_images(call, kind),
    )
    if call.streams and wanted.n > 1:
        raise CostNotBounded("n", "a stream of more than one picture has no documented usage")
    return wanted


def _typed(call: Call) -> dict[str, Any]:
    """The text fields of a body of several parts, as their JSON would be."""
    return {name: _value(name, value) for name, value in call.fields.items()}


def _value(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        if not _DIGITS.fullmatch(value):
            raise BodyNotUnderstood(f"{name} must be a whole number in digits", name)
        return int(value)
    if name == "stream":
        if value not in ("true", "false"):
            raise BodyNotUnderstood("stream must be true or false", name)
        return value == "true"
    return value


def _quality(fields: Mapping[str, Any]) -> str:
    quality = fields.get("quality") or "auto"
    return "auto" if quality in ("standard", "hd") else str(quality)


def _input_images(call: Call, kind: str) -> int:
    """How many pictures are read: the mask is one of them."""
    allowed = _FILES[kind]
    for file in call.files:
        if file.name not in allowed:
            raise CostNotBounded(file.name, f"is not a file of images/{kind} that is known here")
    images = len(call.files)
    if allowed and not images:
        raise BodyNotUnderstood("image is missing; send one as a file", "image")
    if images > MOST_INPUT_IMAGES + 2:
        raise BodyNotUnderstood(f"there are more than {MOST_INPUT_IMAGES} images", "image")
    return images


def _prompt(name: str, value: Any) -> None:
    string(name, value)
    if len(value) > MOST_PROMPT:
        raise BodyNotUnderstood(f"{name} is longer than {MOST_PROMPT} characters", name)


def _one_of(*allowed: str) -> Check:
    def check(name: str, value: Any) -> None:
        if value not in allowed or not isinstance(value, str):
            raise wrong(name, value, f"one of {', '.join(allowed)}")

    return check


def _size(name: str, value: Any) -> None:
    string(name, value)
    if not is_size(value):
        raise BodyNotUnderstood(f"{name} must be auto or a size such as 1024x1024", name)


def _output_format(name: str, value: Any) -> None:
    string(name, value)
    if value not in ("png", "webp", "jpeg"):
        raise CostNotBounded(name, "only png, webp and jpeg have a known count of tokens")


_NUMBERS = frozenset({"n", "output_compression", "partial_images"})

_BOTH: dict[str, Check] = {
    "background": _one_of("transparent", "opaque", "auto"),
    "complexity": _one_of("low", "medium", "high"),
    "frame_count": never("pictures that move have no published price"),
    "frame_duration_ms": never("pictures that move have no published price"),
    "model": string,
    "n": whole(1, MOST_IMAGES),
    "output_compression": whole(0, 100),
    "output_format": _output_format,
    "partial_images": whole(0, 3),
    "prompt": _prompt,
    "quality": string,
    "response_format": _one_of("url", "b64_json"),
    "safety_identifier": string,
    "size": _size,
    "stream": boolean,
    "svg": never("another model writes it, at its own price"),
    "user": string,
}

_FIELDS: dict[str, dict[str, Check]] = {
    "generations": {
        **_BOTH,
        "moderation": _one_of("low", "auto"),
        "style": _one_of("vivid", "natural"),
    },
    "edits": {**_BOTH, "input_fidelity": _one_of("high", "low")},
    "variations": {name: _BOTH[name] for name in ("model", "n", "response_format", "size", "user")},
}

_FILES = {
    "generations": frozenset[str](),
    "edits": frozenset({"image", "image[]", "mask", "markup"}),
    "variations": frozenset({"image"}),
}
