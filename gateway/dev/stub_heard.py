"""
What the stub OpenAI bills for images, speech, files and searches of a chat completion.

It counts in another way than the gateway does: images by the documented figures of their
models, speech by the seconds that its header amounts to.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metering import tokens

_USUAL_IMAGE, _LOW_IMAGE = 765, 85
_PDF_PAGE = 1_500
_SEARCHES = re.compile(r"-search(-|$)")


@dataclass(frozen=True)
class Heard:
    """The parts of a prompt beside its texts, in tokens, and how often the web is searched."""

    images: int = 0
    audio: int = 0
    files: int = 0
    searches: int = 0
    speaks: bool = False
    predicted: int = 0

    @property
    def tokens(self) -> int:
        """All of it that is input."""
        return self.images + self.audio + self.files


def heard_in(fields: Mapping[str, Any], *, worst: bool) -> Heard:
    """
    What a call carries.

    Args:
        worst: Bill the most that OpenAI's documents allow for each image and each second,
            and a prediction as if all of it had been rejected.
    """
    model = str(fields["model"])
    parts = list(_parts(fields))
    searching = fields.get("web_search_options") is not None or _SEARCHES.search(model)
    return Heard(
        images=sum(_image(part["image_url"], model, worst=worst) for part in parts
                   if part["type"] == "image_url"),
        audio=sum(_audio(part["input_audio"], worst=worst) for part in parts
                  if part["type"] == "input_audio"),
        files=sum(_file(part["file"], model) for part in parts if part["type"] == "file"),
        searches=1 if searching else 0,
        speaks="audio" in (fields.get("modalities") or ()),
        predicted=_predicted(fields) if worst else 0,
    )  # fmt: skip


def _parts(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for message in fields["messages"]:
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict) and "type" in part)


def _image(image: Mapping[str, Any], model: str, *, worst: bool) -> int:
    low = image.get("detail") == "low"
    if not worst:
        return _LOW_IMAGE if low else _USUAL_IMAGE
    if "4o-mini" in model:
        return 2_833 if low else 2_833 + 8 * 5_667
    # 256 patches, or 10,000 of the detail "original", times the dearest factor.
    return -(-256 * 246 // 100) if low else 10_000 * 246 // 100


def _audio(audio: Mapping[str, Any], *, worst: bool) -> int:
    """10 tokens a second, and twice as many at the worst; what is no WAV has 1 second."""
    data = base64.b64decode(audio["data"])
    seconds = 1.0
    if data[:4] == b"RIFF":
        _, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, 20)
        seconds = (len(data) - 44) / (rate * channels * (bits // 8))
    return int(seconds * (20 if worst else 10))


def _file(file: Mapping[str, Any], model: str) -> int:
    data = file.get("file_data")
    if data is None or not data.startswith("data:text/"):
        return _PDF_PAGE
    text = base64.b64decode(data.partition(",")[2]).decode()
    return tokens.count(text, tokens.encoding_for(model))


def _predicted(fields: Mapping[str, Any]) -> int:
    content = (fields.get("prediction") or {}).get("content") or ""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    return len(content.encode())
