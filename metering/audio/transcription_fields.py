"""
The fields of a call that writes sound down: which are known, and which could cost without bound.

An unknown field is refused, because it may cost: the list is that of the official SDK (openai
3.51, `transcription_create_params` and `translation_create_params`). All of them are texts, for
the body has several parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from metering.call import Call, UploadedFile
from metering.errors import BodyNotUnderstood, CostNotBounded

MOST_FILE_BYTES = 25 * 2**20  # OpenAI's own limit.
MOST_SPEAKERS = 4

Check = Callable[[str, Any], None]

_NUMBER = re.compile(r"(0|1)(\.[0-9]{1,20})?")
_CHUNKING = re.compile(r"chunking_strategy(\[[a-z_]{1,40}\])?")


def read_fields(call: Call, kind: str) -> UploadedFile:
    """
    Check every field that can cost; gives the one file.

    Args:
        kind: "transcriptions" or "translations".

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: A part is not known, or may cost more than the file tells.
    """
    known = _FIELDS[kind]
    for name, value in call.fields.items():
        check = known.get("chunking_strategy" if _CHUNKING.fullmatch(name) else name)
        if check is None:
            raise CostNotBounded(name[:64], f"is not a field of audio/{kind} that is known here")
        check(name, value)
    for file in call.files:
        if file.name != "file":
            raise CostNotBounded(file.name, f"is not a file of audio/{kind} that is known here")
    if len(call.files) != 1:
        raise BodyNotUnderstood("send one file, as the part `file` with a filename", "file")
    (file,) = call.files
    if file.size > MOST_FILE_BYTES:
        raise BodyNotUnderstood(
            f"file has {file.size} bytes; OpenAI takes {MOST_FILE_BYTES}", "file"
        )
    return file


def text_bytes(call: Call) -> int:
    """The bytes of everything that is text and read by the model."""
    texts = [call.fields.get("prompt", "")]
    for name in ("keywords[]", "languages[]", "known_speaker_names[]"):
        texts += call.fields.get(name, [])
    return sum(len(text.encode()) + 1 for text in texts)


def speakers(call: Call) -> int:
    """How many voices are given as samples, of at most 10 seconds each."""
    return len(call.fields.get("known_speaker_references[]", ()))


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise BodyNotUnderstood(f"{name} must be one text", name)


def _texts(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise BodyNotUnderstood(f"{name} must be a list", name)


def _one_of(*allowed: str) -> Check:
    def check(name: str, value: Any) -> None:
        for one in value if isinstance(value, list) else [value]:
            if one not in allowed:
                raise BodyNotUnderstood(f"{name} must be one of {', '.join(allowed)}", name)

    return check


def _temperature(name: str, value: Any) -> None:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value) or float(value) > 1:
        raise BodyNotUnderstood(f"{name} must be a number from 0 to 1", name)


def _references(name: str, value: Any) -> None:
    _texts(name, value)
    if len(value) > MOST_SPEAKERS:
        raise BodyNotUnderstood(f"{name} has more than {MOST_SPEAKERS} voices", name)
    if not all(text.startswith("data:") for text in value):
        raise CostNotBounded(name, "only data URLs are bounded by their bytes")


_BOTH: dict[str, Check] = {
    "model": _text,
    "prompt": _text,
    "temperature": _temperature,
}

_FIELDS: dict[str, dict[str, Check]] = {
    "transcriptions": {
        **_BOTH,
        "chunking_strategy": _text,
        "include[]": _one_of("logprobs"),
        "keywords[]": _texts,
        "known_speaker_names[]": _texts,
        "known_speaker_references[]": _references,
        "language": _text,
        "languages[]": _texts,
        "response_format": _one_of("json", "text", "srt", "verbose_json", "vtt", "diarized_json"),
        "stream": _one_of("true", "false"),
        "timestamp_granularities[]": _one_of("word", "segment"),
    },
    "translations": {
        **_BOTH,
        "response_format": _one_of("json", "text", "srt", "verbose_json", "vtt"),
    },
}
