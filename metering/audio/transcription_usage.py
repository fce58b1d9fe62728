"""
The usage of a transcription, from OpenAI's object: tokens, or a duration in seconds.

Which of them a model's row prices decides what is read; the other one is flagged and counts
as no usage, so that it is measured and never free.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

import msgspec

from metering.usage import Unit, Usage

MOST_TOKENS = 10**9
MOST_SECONDS = Decimal(10**7)

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class Kinds(msgspec.Struct, gc=False):
    """What was read: text (the prompt) and sound."""

    text_tokens: Tokens | None = None
    audio_tokens: Tokens | None = None


class ByTokens(msgspec.Struct, gc=False):
    """Usage of a model that is billed by the token."""

    input_tokens: Tokens
    output_tokens: Tokens
    input_token_details: Kinds | None = None


class ByDuration(msgspec.Struct, gc=False):
    """Usage of a model that is billed by the second."""

    seconds: Decimal


class _Kind(msgspec.Struct, gc=False):
    type: str | None = None


_kind = msgspec.json.Decoder(_Kind)
_by_tokens = msgspec.json.Decoder(ByTokens)
_by_duration = msgspec.json.Decoder(ByDuration)


def read_usage(
    raw: bytes | msgspec.Raw, flagged: list[str], *, priced: Collection[Unit]
) -> Usage | None:
    """The usage that OpenAI reported, or None when it is not to be believed, or not priced."""
    try:
        if _kind.decode(raw).type == "duration":
            usage = duration(_by_duration.decode(raw).seconds)
        else:
            usage = _tokens(_by_tokens.decode(raw), flagged)
    except (msgspec.DecodeError, UnicodeDecodeError):
        usage = None
    if usage is None:
        flagged.append("usage_not_understood")
        return None
    if any(unit not in priced for unit in usage):
        flagged.append("usage_in_other_units")
        return None
    return usage


def duration(seconds: Decimal) -> Usage | None:
    """So many seconds, to the millisecond upward; None when that is no length of a sound."""
    if not seconds.is_finite() or not 0 <= seconds <= MOST_SECONDS:
        return None
    milliseconds = (seconds * 1000).to_integral_value(ROUND_CEILING)
    return Usage({Unit.AUDIO_MILLISECONDS: int(milliseconds)})


def _tokens(found: ByTokens, flagged: list[str]) -> Usage:
    details = found.input_token_details or Kinds()
    audio, text = details.audio_tokens, details.text_tokens
    if audio is None:
        audio = found.input_tokens - (text or 0)
    if not 0 <= audio <= found.input_tokens or (
        text is not None and text + audio != found.input_tokens
    ):
        flagged.append("usage_details_do_not_add_up")
        audio = found.input_tokens
    return Usage(
        {
            Unit.INPUT: found.input_tokens - audio,
            Unit.AUDIO_INPUT: audio,
            Unit.OUTPUT: found.output_tokens,
        }
    )
