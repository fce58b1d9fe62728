"""OpenAI's usage object with each token once, as the rate card names them."""

from __future__ import annotations

from typing import Any


def units_of(usage: dict[str, Any]) -> dict[str, int]:
    """
    Unit → count, of a chat completion's usage or of an older completion's.

    What was read from the cache is text, unless `cached_tokens_details` says otherwise.
    """
    details = usage.get("prompt_tokens_details") or {}
    written = details.get("cache_write_tokens_details") or {}
    cached = details.get("cached_tokens_details") or {}
    for_12h = written.get("ttl_12h_tokens") or 0
    parts = {
        "cache_write_30m": (details.get("cache_write_tokens") or 0) - for_12h,
        "cache_write_12h": for_12h,
        "cached_audio_input": cached.get("audio_tokens") or 0,
        "cached_image_input": cached.get("image_tokens") or 0,
    }
    read = parts["cached_audio_input"] + parts["cached_image_input"]
    parts["cached_input"] = (details.get("cached_tokens") or 0) - read
    parts["audio_input"] = (details.get("audio_tokens") or 0) - parts["cached_audio_input"]
    parts["image_input"] = (details.get("image_tokens") or 0) - parts["cached_image_input"]
    spoken = (usage.get("completion_tokens_details") or {}).get("audio_tokens") or 0
    parts["input"] = usage["prompt_tokens"] - sum(parts.values())
    parts["output"] = usage["completion_tokens"] - spoken
    return {unit: count for unit, count in (parts | {"audio_output": spoken}).items() if count}
