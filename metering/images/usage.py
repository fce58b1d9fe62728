"""
The usage of pictures, from OpenAI's object: its details are parts of its totals.

What a row has no price for is priced as the dearest of its kind, and flagged; it is never free.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import msgspec

from metering.usage import Unit, Usage

MOST_TOKENS = 10**9

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class Kinds(msgspec.Struct, gc=False):
    """Text and pictures apart."""

    text_tokens: Tokens | None = None
    image_tokens: Tokens | None = None


class InputKinds(Kinds, gc=False):
    """The same of what was read, with what of it came from the cache."""

    cached_tokens: Tokens | None = None
    cached_tokens_details: Kinds | None = None


class Reported(msgspec.Struct, gc=False):
    """OpenAI's usage object."""

    input_tokens: Tokens
    output_tokens: Tokens
    input_tokens_details: InputKinds | None = None
    output_tokens_details: Kinds | None = None


class Totals(msgspec.Struct, gc=False):
    """The same without its details."""

    input_tokens: Tokens
    output_tokens: Tokens


_reported = msgspec.json.Decoder(Reported)
_totals = msgspec.json.Decoder(Totals)


def read_usage(
    raw: bytes | msgspec.Raw, flagged: list[str], *, priced: Collection[Unit], reads_images: bool
) -> Usage | None:
    """
    The usage that OpenAI reported, or None when its totals are not to be believed.

    Args:
        priced: The units that the model's row has a price for.
        reads_images: Whether the call had pictures; then input of no known kind is one.
    """
    try:
        found = _reported.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            totals = _totals.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            flagged.append("usage_not_understood")
            return None
        flagged.append("usage_details_not_understood")
        found = Reported(totals.input_tokens, totals.output_tokens)
    counts = _input(found, flagged, reads_images=reads_images)
    for unit, count in _output(found, flagged).items():
        counts[unit] = count
    return Usage(_priced(counts, priced, flagged))


def _input(found: Reported, flagged: list[str], *, reads_images: bool) -> dict[Unit, int]:
    total, details = found.input_tokens, found.input_tokens_details
    plain = Unit.IMAGE_INPUT if reads_images else Unit.INPUT
    if details is None or details.image_tokens is None:
        if reads_images:
            flagged.append("usage_has_no_details")
        return {plain: total}
    images, text = details.image_tokens, total - details.image_tokens
    if text < 0 or (details.text_tokens is not None and details.text_tokens != text):
        flagged.append("usage_details_do_not_add_up")
        return {Unit.IMAGE_INPUT: total}
    cached = details.cached_tokens_details or Kinds()
    cached_text, cached_images = cached.text_tokens or 0, cached.image_tokens or 0
    if cached_text > text or cached_images > images:
        flagged.append("usage_details_do_not_add_up")
        cached_text = cached_images = 0
    return {
        Unit.INPUT: text - cached_text,
        Unit.CACHED_INPUT: cached_text,
        Unit.IMAGE_INPUT: images - cached_images,
        Unit.CACHED_IMAGE_INPUT: cached_images,
    }


def _output(found: Reported, flagged: list[str]) -> dict[Unit, int]:
    total, details = found.output_tokens, found.output_tokens_details
    text = (details.text_tokens or 0) if details is not None else 0
    if text > total:
        flagged.append("usage_details_do_not_add_up")
        text = 0
    return {Unit.OUTPUT: text, Unit.IMAGE_OUTPUT: total - text}


# What a unit is billed as when the row does not price it: what is not cached, or the dearer one.
_INSTEAD = {
    Unit.CACHED_INPUT: Unit.INPUT,
    Unit.CACHED_IMAGE_INPUT: Unit.IMAGE_INPUT,
    Unit.OUTPUT: Unit.IMAGE_OUTPUT,
}


def _priced(
    counts: dict[Unit, int], priced: Collection[Unit], flagged: list[str]
) -> dict[Unit, int]:
    kept: dict[Unit, int] = {}
    for unit, count in counts.items():
        instead = unit if unit in priced else _INSTEAD.get(unit, unit)
        if count and instead is not unit:
            flagged.append(f"{unit.value}_not_priced")
        kept[instead] = kept.get(instead, 0) + count
    return kept
