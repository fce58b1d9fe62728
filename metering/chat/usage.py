"""
The usage of a chat completion, from OpenAI's object.

There the details are parts of the totals; here every token is counted once.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from metering.chat.stand_ins import TEXT_ONLY, with_stand_ins
from metering.prices import Prices
from metering.usage import Unit, Usage

# More tokens than any model takes or gives; a larger count is not a count.
MOST_TOKENS = 10**9

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class CacheWrites(msgspec.Struct, gc=False):
    """How long what was written to the cache is kept."""

    ttl_30m_tokens: Tokens | None = None
    ttl_12h_tokens: Tokens | None = None


class CacheReads(msgspec.Struct, gc=False):
    """Parts of the tokens that were read from the cache."""

    audio_tokens: Tokens | None = None
    image_tokens: Tokens | None = None


class PromptDetails(msgspec.Struct, gc=False):
    """Parts of the prompt's tokens."""

    cached_tokens: Tokens | None = None
    cached_tokens_details: CacheReads | None = None
    cache_write_tokens: Tokens | None = None
    cache_write_tokens_details: CacheWrites | None = None
    audio_tokens: Tokens | None = None
    image_tokens: Tokens | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """Parts of the completion's tokens; reasoning is inside the total already."""

    audio_tokens: Tokens | None = None


class Totals(msgspec.Struct, gc=False):
    """OpenAI's usage object without its details."""

    prompt_tokens: Tokens
    completion_tokens: Tokens


class Reported(Totals, gc=False):
    """OpenAI's usage object."""

    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


_reported = msgspec.json.Decoder(Reported)
_totals = msgspec.json.Decoder(Totals)


def read_usage(
    raw: bytes | msgspec.Raw, flagged: list[str], prices: Prices = TEXT_ONLY
) -> Usage | None:
    """
    The usage that OpenAI reported, or None when its totals are not to be believed.

    When only the details are impossible, the whole prompt is taken as plain input: the
    totals are still OpenAI's, and counting could not see the reasoning. What was odd is
    added to `flagged`.

    Args:
        prices: Of the model; a unit that it lacks is billed as another (`stand_ins.py`).
    """
    try:
        return with_stand_ins(disjoint(_reported.decode(raw), flagged), prices, flagged)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        totals = _totals.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        flagged.append("usage_not_understood")
        return None
    flagged.append("usage_details_not_understood")
    return Usage({Unit.INPUT: totals.prompt_tokens, Unit.OUTPUT: totals.completion_tokens})


def disjoint(reported: Reported, flagged: list[str]) -> dict[Unit, int]:
    """Each token once."""
    return _input(reported, flagged) | _output(reported, flagged)


def _input(reported: Reported, flagged: list[str]) -> dict[Unit, int]:
    """Text, images and audio; of each what was cached, and of text what was written."""
    prompt, details = reported.prompt_tokens, reported.prompt_tokens_details
    if details is None:
        return {Unit.INPUT: prompt}
    audio, image = details.audio_tokens or 0, details.image_tokens or 0
    written_30m, written_12h = _written(details, flagged)
    text = prompt - audio - image - written_30m - written_12h
    cached, cached_image, cached_audio = _cached(details, text=text, image=image)
    counts = {
        Unit.INPUT: text - cached,
        Unit.CACHED_INPUT: cached,
        Unit.CACHE_WRITE_30M: written_30m,
        Unit.CACHE_WRITE_12H: written_12h,
        Unit.IMAGE_INPUT: image - cached_image,
        Unit.CACHED_IMAGE_INPUT: cached_image,
        Unit.AUDIO_INPUT: audio - cached_audio,
        Unit.CACHED_AUDIO_INPUT: cached_audio,
    }
    if min(counts.values()) >= 0:
        return counts
    flagged.append("usage_details_exceed_total")
    # Audio is the one part that costs many times as much as the rest.
    audio = min(audio, prompt)
    return {Unit.INPUT: prompt - audio, Unit.AUDIO_INPUT: audio}


def _cached(details: PromptDetails, *, text: int, image: int) -> tuple[int, int, int]:
    """
    What was read from the cache of text, images and audio.

    Where OpenAI does not say, text comes first and audio last: so nothing is taken for
    cheaper than it was.
    """
    cached, parts = details.cached_tokens or 0, details.cached_tokens_details
    if parts is not None:
        of_image, of_audio = parts.image_tokens or 0, parts.audio_tokens or 0
        return cached - of_image - of_audio, of_image, of_audio
    of_text = min(cached, max(text, 0))
    of_image = min(cached - of_text, image)
    return of_text, of_image, cached - of_text - of_image


def _output(reported: Reported, flagged: list[str]) -> dict[Unit, int]:
    output, details = reported.completion_tokens, reported.completion_tokens_details
    audio = details.audio_tokens or 0 if details is not None else 0
    if audio > output:
        flagged.append("usage_details_exceed_total")
        audio = output
    return {Unit.OUTPUT: output - audio, Unit.AUDIO_OUTPUT: audio}


def _written(details: PromptDetails, flagged: list[str]) -> tuple[int, int]:
    written = details.cache_write_tokens
    split = details.cache_write_tokens_details
    if split is None:
        return written or 0, 0
    for_30m, for_12h = split.ttl_30m_tokens or 0, split.ttl_12h_tokens or 0
    if written is None or written == for_30m + for_12h:
        return for_30m, for_12h
    flagged.append("cache_writes_do_not_add_up")
    return max(for_30m, written - for_12h), for_12h
