"""The fields of a call that speaks: which are known, and which could cost without bound."""

from __future__ import annotations

from typing import Any

from metering.chat.checks import Check, number, string, wrong
from metering.errors import BodyNotUnderstood, CostNotBounded

MOST_CHARACTERS = 4096  # Of the input, and of the instructions; OpenAI's own limit.
SLOWEST, FASTEST = 0.25, 4.0


def read_fields(fields: dict[str, Any]) -> None:
    """
    Check every field that can cost (openai 3.51, `speech_create_params`).

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: A part is not known to us.
    """
    for name, value in fields.items():
        check = _FIELDS.get(name)
        if check is None:
            raise CostNotBounded(name[:64], "is not a field of audio/speech that is known here")
        if value is not None:
            check(name, value)
    if not fields.get("input"):
        raise BodyNotUnderstood("input is missing; it must be the text to speak", "input")


def _text(name: str, value: Any) -> None:
    string(name, value)
    if len(value) > MOST_CHARACTERS:
        raise BodyNotUnderstood(
            f"{name} has {len(value)} characters; OpenAI takes {MOST_CHARACTERS}", name
        )


def _voice(name: str, value: Any) -> None:
    # Voices that were made are shared by all businesses of one account.
    if isinstance(value, dict) or (isinstance(value, str) and value.startswith("voice_")):
        raise CostNotBounded(name, "only OpenAI's own voices are served")
    string(name, value)


def _one_of(*allowed: str) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise wrong(name, value, f"one of {', '.join(allowed)}")

    return check


_FIELDS: dict[str, Check] = {
    "input": _text,
    "instructions": _text,
    "model": string,
    "response_format": _one_of("mp3", "opus", "aac", "flac", "wav", "pcm"),
    "speed": number(SLOWEST, FASTEST),
    "stream_format": _one_of("sse", "audio"),
    "voice": _voice,
}
