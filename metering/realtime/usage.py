"""
The usage of a realtime response or of a transcription, each token counted once.

In OpenAI's object the details are parts of the totals, and the cached ones parts of those.
What is not told apart is taken as the dearest it may be, which is audio.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any

import msgspec

from metering.prices import Rate
from metering.usage import Unit, Usage

MOST_TOKENS = 10**9  # More than any model takes or gives; a larger count is not a count.

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class Kinds(msgspec.Struct, gc=False):
    """Tokens by what they stand for."""

    text_tokens: Tokens | None = None
    audio_tokens: Tokens | None = None
    image_tokens: Tokens | None = None


class InputKinds(Kinds, gc=False):
    """The same, and what of them was cached."""

    cached_tokens: Tokens | None = None
    cached_tokens_details: Kinds | None = None


class _Totals(msgspec.Struct, gc=False):
    input_tokens: Tokens
    output_tokens: Tokens


class _Reported(_Totals, gc=False):
    input_token_details: InputKinds | None = None
    output_token_details: Kinds | None = None


_reported = msgspec.json.Decoder(_Reported)
_totals = msgspec.json.Decoder(_Totals)


def read_usage(raw: bytes | msgspec.Raw, rate: Rate, flagged: list[str]) -> Usage | None:
    """
    The usage of a response, or None when its totals are not to be believed.

    What was odd is added to `flagged`.
    """
    try:
        found = _reported.decode(raw)
        counts = _input(found, flagged)
        _add(counts, _output(found, flagged))
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            totals = _totals.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            flagged.append("usage_not_understood")
            return None
        flagged.append("usage_details_not_understood")
        counts = {Unit.AUDIO_INPUT: totals.input_tokens, Unit.AUDIO_OUTPUT: totals.output_tokens}
    return _priced(counts, rate, flagged)


def read_transcription(raw: Any, rate: Rate, flagged: list[str]) -> Usage | None:
    """The usage of a transcription, by tokens or by seconds, or None when it is none."""
    if isinstance(raw, dict) and raw.get("type") == "duration":
        return _duration(raw.get("seconds"), rate, flagged)
    try:
        found = msgspec.convert(raw, _Reported)
    except msgspec.ValidationError:
        flagged.append("usage_not_understood")
        return None
    counts = _input(found, flagged)
    _add(counts, {Unit.OUTPUT: found.output_tokens})
    return _priced(counts, rate, flagged)


def _duration(seconds: Any, rate: Rate, flagged: list[str]) -> Usage | None:
    is_number = type(seconds) in (int, float, Decimal) and 0 <= seconds <= MOST_TOKENS
    if not is_number or not rate.prices(Unit.AUDIO_MILLISECONDS):
        flagged.append("usage_not_understood")
        return None
    milliseconds = (Decimal(str(seconds)) * 1000).to_integral_value(ROUND_CEILING)
    return Usage({Unit.AUDIO_MILLISECONDS: int(milliseconds)})


def _input(found: _Reported, flagged: list[str]) -> dict[Unit, int]:
    details, total = found.input_token_details, found.input_tokens
    if details is None:
        if total:
            flagged.append("usage_without_details")
        return {Unit.AUDIO_INPUT: total}
    text, audio, image = _kinds(details)
    rest = total - text - audio - image
    if rest < 0:
        flagged.append("usage_details_exceed_total")
        return {Unit.AUDIO_INPUT: total}
    if rest:
        flagged.append("usage_details_below_total")
    cached = _cached(details, (text, audio, image), flagged)
    return {
        Unit.INPUT: text - cached[0],
        Unit.CACHED_INPUT: cached[0],
        Unit.AUDIO_INPUT: audio + rest - cached[1],
        Unit.CACHED_AUDIO_INPUT: cached[1],
        Unit.IMAGE_INPUT: image - cached[2],
        Unit.CACHED_IMAGE_INPUT: cached[2],
    }


def _cached(
    details: InputKinds, kinds: tuple[int, int, int], flagged: list[str]
) -> tuple[int, int, int]:
    """What was cached of text, audio and images; never more than there was of each."""
    parts = details.cached_tokens_details
    cached = details.cached_tokens
    if parts is None:
        # Text is what caching makes least cheaper, so that is what it is taken for.
        return min(cached or 0, kinds[0]), 0, 0
    text, audio, image = _kinds(parts)
    if (cached is not None and text + audio + image > cached) or any(
        part > whole for part, whole in zip((text, audio, image), kinds, strict=True)
    ):
        flagged.append("usage_details_exceed_total")
        return 0, 0, 0
    return text, audio, image


def _output(found: _Reported, flagged: list[str]) -> dict[Unit, int]:
    details, total = found.output_token_details, found.output_tokens
    if details is None:
        if total:
            flagged.append("usage_without_details")
        return {Unit.AUDIO_OUTPUT: total}
    text, audio, image = _kinds(details)
    rest = total - text - audio - image
    if rest < 0:
        flagged.append("usage_details_exceed_total")
        return {Unit.AUDIO_OUTPUT: total}
    if rest or image:
        flagged.append("usage_details_below_total")
    return {Unit.OUTPUT: text, Unit.AUDIO_OUTPUT: audio + image + rest}


def _kinds(kinds: Kinds) -> tuple[int, int, int]:
    return kinds.text_tokens or 0, kinds.audio_tokens or 0, kinds.image_tokens or 0


def _add(counts: dict[Unit, int], more: dict[Unit, int]) -> None:
    for unit, count in more.items():
        counts[unit] = counts.get(unit, 0) + count


# In place of a unit for which the row has no price, the next that it has one for.
_DEARER = {
    Unit.CACHED_IMAGE_INPUT: (Unit.IMAGE_INPUT, Unit.AUDIO_INPUT, Unit.INPUT),
    Unit.IMAGE_INPUT: (Unit.AUDIO_INPUT, Unit.INPUT),
    Unit.CACHED_AUDIO_INPUT: (Unit.AUDIO_INPUT, Unit.INPUT),
    Unit.CACHED_INPUT: (Unit.INPUT,),
    Unit.AUDIO_INPUT: (Unit.INPUT,),
    Unit.AUDIO_OUTPUT: (Unit.OUTPUT,),
}


def _priced(counts: dict[Unit, int], rate: Rate, flagged: list[str]) -> Usage:
    priced: dict[Unit, int] = {}
    for unit, count in counts.items():
        if not count:
            continue
        found = unit
        if not rate.prices(unit):
            found = next((dear for dear in _DEARER.get(unit, ()) if rate.prices(dear)), unit)
            if unit is not Unit.AUDIO_INPUT and unit is not Unit.AUDIO_OUTPUT:
                flagged.append(f"{unit.value}_not_priced")
        priced[found] = priced.get(found, 0) + count
    return Usage(priced)
