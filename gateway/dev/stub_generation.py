"""Generation: what a model would have written for a call, and what OpenAI would bill for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.dev.stub_heard import Heard, heard_in
from gateway.dev.stub_script import Script
from metering import tokens

MODEL_MAX_OUTPUT = 128_000  # What a call without a limit may use, on every current model.
SPOKEN_TOKENS = 40  # Two seconds of speech.
QUICK_CHARACTERS = 4_000  # Counted at once; more takes long enough for a thread.


@dataclass(frozen=True)
class Generation:
    """
    The reply to one call, whole.

    Each of the `n` choices is the same: `pieces` of text, then `finish_reason`. `tokens` has
    the count of each piece, so what was billed of a stream that was cut is known too.
    `spoken_tokens` are those of each choice's speech, and `heard` what came beside texts.
    """

    n: int
    pieces: tuple[str, ...]
    tokens: tuple[int, ...]
    finish_reason: str
    prompt_tokens: int
    reasoning_tokens: int
    script: Script
    spoken_tokens: int = 0
    heard: Heard = field(default_factory=Heard)

    @property
    def text(self) -> str:
        """What a choice says; for a tool call, its arguments."""
        return "".join(self.pieces)

    def usage(self, pieces_sent: int | None = None) -> dict[str, Any]:
        """OpenAI's usage object: of all, or of a stream cut after so many chunks of text."""
        script = self.script
        if script.usage is not None:
            return dict(script.usage)
        # Piece by piece the choices take turns, so chunk number i has piece i // n.
        chunks = self.n * len(self.pieces)
        sent = chunks if pieces_sent is None else min(pieces_sent, chunks)
        visible = sum(self.tokens[chunk // self.n] for chunk in range(sent))
        reasoning, spoken = self.n * self.reasoning_tokens, self.n * self.spoken_tokens
        rejected = self.n * self.heard.predicted
        output = visible + reasoning + spoken + rejected
        written = script.cache_write_tokens + script.cache_write_12h_tokens
        prompt = max(self.prompt_tokens, script.cached_tokens + written)
        prompt_details: dict[str, Any] = {
            "cached_tokens": script.cached_tokens,
            "cache_write_tokens": written,
            "audio_tokens": self.heard.audio,
        }
        if self.heard.images:
            prompt_details["image_tokens"] = self.heard.images
        if script.cached_parts is not None:
            prompt_details["cached_tokens_details"] = dict(script.cached_parts)
        if written:
            prompt_details["cache_write_tokens_details"] = {
                "ttl_30m_tokens": script.cache_write_tokens,
                "ttl_12h_tokens": script.cache_write_12h_tokens,
            }
        return {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": prompt_details,
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": spoken,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": rejected,
            },
        }


async def generate(fields: Mapping[str, Any], script: Script) -> Generation:
    """Write the reply to a chat completion, within its limit and up to its stop sequence."""
    encoding = tokens.encoding_for(fields["model"])
    parts = _prompt_parts(fields)
    if sum(map(len, parts)) + sum(map(len, script.pieces)) <= QUICK_CHARACTERS:
        return _generate(fields, script, parts, encoding)
    return await asyncio.to_thread(_generate, fields, script, parts, encoding)


def _generate(
    fields: Mapping[str, Any], script: Script, parts: list[str], encoding: str
) -> Generation:
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens") or MODEL_MAX_OUTPUT
    pieces = (script.tool[1],) if script.tool else until_stop(script.pieces, fields.get("stop"))
    reason = "tool_calls" if script.tool else "stop"
    reasoning = min(script.reasoning_tokens, limit)
    kept, counts = within(pieces, limit - reasoning, encoding)
    if "".join(kept) != "".join(pieces):
        reason = "length"
    heard = heard_in(fields, worst=script.worst)
    left = limit - sum(counts)
    if script.worst and not heard.speaks:
        reasoning = left
    spoken = left if script.worst else min(SPOKEN_TOKENS, left)
    return Generation(
        n=fields.get("n") or 1,
        pieces=kept,
        tokens=counts,
        finish_reason=reason,
        prompt_tokens=_prompt_tokens(fields, parts, encoding) + heard.tokens + script.found_tokens,
        reasoning_tokens=reasoning,
        script=script,
        spoken_tokens=spoken if heard.speaks else 0,
        heard=heard,
    )


def within(
    pieces: tuple[str, ...], limit: int, encoding: str
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """As many pieces as the limit has tokens for; the last one may be shortened."""
    kept: list[str] = []
    counts: list[int] = []
    for piece in pieces:
        left = limit - sum(counts)
        fitted = piece
        while fitted and tokens.count(fitted, encoding) > left:
            fitted = fitted[: len(fitted) * 3 // 4]
        if fitted:
            kept.append(fitted)
            counts.append(tokens.count(fitted, encoding))
        if fitted != piece:
            break
    return tuple(kept), tuple(counts)


def until_stop(pieces: tuple[str, ...], stop: Any) -> tuple[str, ...]:
    """The pieces up to the first stop sequence in their text."""
    stops = [stop] if isinstance(stop, str) else [text for text in stop or [] if text]
    text = "".join(pieces)
    found = [place for sequence in stops if (place := text.find(sequence)) >= 0]
    left = min(found, default=len(text))
    kept: list[str] = []
    for piece in pieces:
        kept.append(piece[:left])
        left -= len(kept[-1])
    return tuple(piece for piece in kept if piece)


def _prompt_parts(fields: Mapping[str, Any]) -> list[str]:
    """Every text of the prompt that costs tokens."""
    parts: list[str] = []
    for message in fields["messages"]:
        for name, value in message.items():
            if name == "content" and isinstance(value, list):
                parts += [str(part.get("text") or "") for part in value if isinstance(part, dict)]
            elif isinstance(value, str):
                parts.append(value)
            elif value is not None:
                parts.append(json.dumps(value, ensure_ascii=False))
    for name in ("tools", "functions", "response_format"):
        if fields.get(name):
            parts.append(json.dumps(fields[name], ensure_ascii=False, separators=(",", ":")))
    return parts


def _prompt_tokens(fields: Mapping[str, Any], parts: list[str], encoding: str) -> int:
    """
    The prompt as OpenAI counts it: 3 for each message, 1 for a name, 3 before the reply.

    Source: OpenAI cookbook, "Counting tokens for chat completions". Tools are counted as
    their JSON, for which nothing is published.
    """
    messages = fields["messages"]
    names = sum("name" in message for message in messages)
    return sum(tokens.count(part, encoding) for part in parts) + 3 * len(messages) + names + 3
