"""
Watches speech on its way, bytes or events, and knows what it used.

A model that is billed by the character is known beforehand: what it is asked to speak is what
it is billed for. The others say what they used only in a stream of events; of bytes their
length is measured, and a token is so much of a second.
"""

from __future__ import annotations

import binascii
from typing import Any, Literal

import msgspec

from metering.audio.frames import WAV_HEADER_BYTES, Adts, Bytes, Mpeg, Ogg, Walker
from metering.prices import DEFAULT_TIER, ModelRow
from metering.reply_seen import ReplyNamed
from metering.sse import Events, data_of
from metering.tokens import count
from metering.usage import Unit, Usage

# $0.015 a minute at $12 per million tokens, as OpenAI's pricing page puts it: 20.8 a second.
TOKENS_PER_MINUTE = 1250

MOST_TOKENS = 10**9

# FLAC of one voice at 24 kHz packs its 48,000 bytes a second to about half.
_FLAC_BYTES_PER_S = 26_000

WALKERS: dict[str, type[Walker]] = {"mp3": Mpeg, "aac": Adts, "opus": Ogg}


def audio_tokens(milliseconds: int) -> int:
    """The tokens of speech of this length, rounded up."""
    return -(-milliseconds * TOKENS_PER_MINUTE // 60_000)


def walker(kind: str) -> Walker:
    """What measures speech in a `response_format`."""
    if kind in WALKERS:
        return WALKERS[kind]()
    if kind == "flac":
        return Bytes(_FLAC_BYTES_PER_S)
    return Bytes(header_bytes=WAV_HEADER_BYTES if kind == "wav" else 0)


class _Used(msgspec.Struct, gc=False):
    """OpenAI's usage object."""

    input_tokens: int
    output_tokens: int


class _Event(msgspec.Struct, gc=False):
    """What is picked out of an event."""

    type: Any = None
    error: Any = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    audio: str | None = None


_used = msgspec.json.Decoder(_Used)
_event = msgspec.json.Decoder(_Event)
_NULL = b"null"


class SpeechReader(ReplyNamed):
    """The `UsageReader` of one call that speaks."""

    def __init__(self, fields: dict[str, Any], row: ModelRow) -> None:
        super().__init__()
        self._input = str(fields["input"])
        self._instructions = str(fields.get("instructions") or "")
        self._row = row
        self._by_characters = Unit.CHARACTERS in row.tiers[DEFAULT_TIER]
        self._events = Events()
        self._is_bytes = False
        self._walker = walker(fields.get("response_format") or "mp3")
        self._seen = 0
        self._reported: Usage | None = None

    @property
    def source(self) -> Literal["reported", "counted", "none"]:
        """Where `usage` comes from; characters are as sure as if they had been reported."""
        if self._reported is not None:
            return "reported"
        if not self._seen:
            return "none"
        return "reported" if self._by_characters else "counted"

    def expects_bytes(self, content_type: str) -> None:
        """The reply is sound, and no events."""
        self._is_bytes = True

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk of the reply, which is passed on as it is."""
        if self._is_bytes:
            self._take_sound(chunk)
        else:
            for event in self._events.feed(chunk):
                self._look(event)
        return chunk

    def feed_json(self, body: bytes) -> None:
        """Take a reply that is JSON, which is no speech."""
        try:
            found = _event.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.flagged.append("reply_not_understood")
            return
        self._take_error(found.error)
        self._take_usage(found.usage)

    def finish(self) -> bytes:
        """Nothing was held back."""
        if self._events.overflowed:
            self.flagged.append("event_too_long")
        rest, self._events = self._events.rest, Events()
        if rest:
            self._look(rest)
        return b""

    def usage(self) -> Usage:
        """As OpenAI reported it, else by the characters, else measured; counting blocks."""
        if self._reported is not None:
            return self._reported
        if not self._seen:
            return Usage()
        if self._by_characters:
            return Usage({Unit.CHARACTERS: len(self._input)})
        return Usage(
            {
                Unit.INPUT: prompt_tokens(self._input, self._instructions, self._row.encoding),
                Unit.AUDIO_OUTPUT: self.so_far(),
            }
        )

    def so_far(self) -> int:
        """The audio tokens of what was seen; at least one once there was a sound."""
        tokens = audio_tokens(self._walker.milliseconds)
        return max(tokens, 1) if self._seen else 0

    def _take_sound(self, data: bytes) -> None:
        self._seen += len(data)
        self._walker.feed(data)

    def _look(self, event: bytes) -> None:
        data = data_of(event)
        if not data.strip():
            return
        if data.strip() == b"[DONE]":
            self.saw_done = True
            return
        try:
            found = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.flagged.append("event_not_understood")
            return
        self._take_error(found.error)
        if found.type == "speech.audio.delta" and found.audio:
            try:
                self._take_sound(binascii.a2b_base64(found.audio))
            except (binascii.Error, ValueError):
                self.flagged.append("event_not_understood")
        elif found.type == "speech.audio.done":
            self.saw_done = True
            self._take_usage(found.usage)

    def _take_usage(self, raw: msgspec.Raw) -> None:
        if bytes(raw) == _NULL:
            return
        try:
            found = _used.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = _Used(-1, -1)
        if not (0 <= found.input_tokens <= MOST_TOKENS and 0 <= found.output_tokens <= MOST_TOKENS):
            self.flagged.append("usage_not_understood")
        elif self._by_characters:
            self.flagged.append("usage_in_other_units")
            self._seen = self._seen or 1
        else:
            self._reported = Usage(
                {Unit.INPUT: found.input_tokens, Unit.AUDIO_OUTPUT: found.output_tokens}
            )


def prompt_tokens(text: str, instructions: str, encoding: str) -> int:
    """The text tokens of a call that speaks; blocks."""
    return count(text, encoding) + (count(instructions, encoding) if instructions else 0)
