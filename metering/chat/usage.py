"""
The usage of a chat completion, from OpenAI's object or from the text that was seen.

In OpenAI's object the details are parts of the totals; here every token is counted once.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from metering.usage import Unit, Usage

# More tokens than any model takes or gives; a larger count is not a count.
MOST_TOKENS = 10**9

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class CacheWrites(msgspec.Struct, gc=False):
    """How long what was written to the cache is kept."""

    ttl_30m_tokens: Tokens | None = None
    ttl_12h_tokens: Tokens | None = None


class PromptDetails(msgspec.Struct, gc=False):
    """Parts of the prompt's tokens."""

    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    cache_write_tokens_details: CacheWrites | None = None
    audio_tokens: Tokens | None = None


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


def read_usage(raw: bytes | msgspec.Raw, flagged: list[str]) -> Usage | None:
    """
    The usage that OpenAI reported, or None when its totals are not to be believed.

    When only the details are impossible, the whole prompt is taken as plain input: the
    totals are still OpenAI's, and counting could not see the reasoning. What was odd is
    added to `flagged`.
    """
    try:
        return disjoint(_reported.decode(raw), flagged)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        totals = _totals.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        flagged.append("usage_not_understood")
        return None
    flagged.append("usage_details_not_understood")
    return Usage({Unit.INPUT: totals.prompt_tokens, Unit.OUTPUT: totals.completion_tokens})


def disjoint(reported: Reported, flagged: list[str]) -> Usage:
    """Each token once: cached, written to the cache, plain input, output."""
    prompt, output = reported.prompt_tokens, reported.completion_tokens
    details = reported.prompt_tokens_details
    completion = reported.completion_tokens_details
    if completion is not None and completion.audio_tokens:
        flagged.append("audio_without_asking")
    if details is None:
        return Usage({Unit.INPUT: prompt, Unit.OUTPUT: output})
    if details.audio_tokens:
        flagged.append("audio_without_asking")
    cached = details.cached_tokens or 0
    written_30m, written_12h = _written(details, flagged)
    plain = prompt - cached - written_30m - written_12h
    if plain < 0:
        flagged.append("usage_details_exceed_total")
        return Usage({Unit.INPUT: prompt, Unit.OUTPUT: output})
    return Usage(
        {
            Unit.INPUT: plain,
            Unit.CACHED_INPUT: cached,
            Unit.CACHE_WRITE_30M: written_30m,
            Unit.CACHE_WRITE_12H: written_12h,
            Unit.OUTPUT: output,
        }
    )


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
