"""What a chat completion carries beside texts: images, speech and files, and what they can cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from metering.chat.audio import audio_tokens, is_bounded
from metering.chat.files import text_of
from metering.chat.images import image_tokens, is_in_body
from metering.errors import CostNotBounded
from metering.tokens import count

KINDS = frozenset({"image_url", "input_audio", "file"})

_ROUGH_IMAGE = 1_000
_ROUGH_CHARACTERS = 2_000  # Of a token of speech: 100 milliseconds of 16 bits at 8 kHz.


def parts_of(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each part of a message that is not text, of a body that was checked."""
    for message in fields.get("messages") or ():
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if part["type"] in KINDS)


def check_switches(fields: dict[str, Any], allowed: frozenset[str]) -> None:
    """
    Refuse what lies outside the body and is not switched on for the business.

    Raises:
        CostNotBounded: Naming the kind of part.
    """
    for part in parts_of(fields):
        kind = part["type"]
        by_address = kind == "image_url" and not is_in_body(part["image_url"])
        if by_address and "urls" not in allowed:
            raise CostNotBounded(
                kind, "an address does not tell what its image costs; send it as a data URL"
            )
        by_id = kind == "file" and part["file"].get("file_id") is not None
        if by_id and "files" not in allowed:
            raise CostNotBounded(kind, "its id does not tell how many tokens it becomes")


@dataclass(frozen=True, slots=True)
class Media:
    """
    What the parts beside texts can cost.

    Attributes:
        images: The most tokens of all images.
        has_audio: Whether something is to be heard.
        bounded: Whether bytes and images bound it all; else the model's own limit does.
        rough: About how many tokens all of it has, in the place of `characters` of the body.
    """

    images: int = 0
    has_audio: bool = False
    bounded: bool = True
    rough: int = 0
    characters: int = 0


_NOTHING = Media()


def media_of(fields: dict[str, Any], model: str) -> Media:
    """What is there, by a look at the head of each part."""
    found = _NOTHING
    for part in parts_of(fields):
        found = _ADD[part["type"]](found, part[part["type"]], model)
    return found


def _add_image(media: Media, image: dict[str, Any], model: str) -> Media:
    return replace(
        media,
        images=media.images + image_tokens(image, model),
        bounded=media.bounded and is_in_body(image),
        rough=media.rough + _ROUGH_IMAGE,
        characters=media.characters + len(image["url"]),
    )


def _add_audio(media: Media, audio: dict[str, Any], model: str) -> Media:
    characters = len(audio["data"])
    return replace(
        media,
        has_audio=True,
        bounded=media.bounded and is_bounded(audio),
        rough=media.rough + characters // _ROUGH_CHARACTERS,
        characters=media.characters + characters,
    )


def _add_file(media: Media, file: dict[str, Any], model: str) -> Media:
    characters = len(file.get("file_data") or "")
    return replace(
        media,
        bounded=media.bounded and text_of(file) is not None,
        rough=media.rough + characters // 4,
        characters=media.characters + characters,
    )


_ADD = {"image_url": _add_image, "input_audio": _add_audio, "file": _add_file}


def heard_tokens(fields: dict[str, Any]) -> int:
    """The most tokens of all speech; blocks."""
    parts = (part["input_audio"] for part in parts_of(fields) if part["type"] == "input_audio")
    return sum(audio_tokens(audio) for audio in parts)


def file_tokens(fields: dict[str, Any], encoding: str) -> int:
    """The tokens of all files that are plain text; blocks."""
    files = (text_of(part["file"]) for part in parts_of(fields) if part["type"] == "file")
    return sum(count(text, encoding) for text in files if text is not None)


def without_media(fields: dict[str, Any]) -> dict[str, Any]:
    """The same body with nothing in the place of images, speech and files."""
    messages = [_texts_of(message) for message in fields.get("messages") or ()]
    return {**fields, "messages": messages}


def _texts_of(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [part for part in content if part["type"] not in KINDS]}
