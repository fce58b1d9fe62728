"""
Watches the reply of a transcription: JSON, plain text, subtitles or a stream.

Plain text and subtitles say nothing of their usage: what they cost is measured from the sound,
and is never less than the last time that a subtitle names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import msgspec

from metering.audio.transcription_usage import duration, read_usage
from metering.prices import DEFAULT_TIER, ModelRow
from metering.reply_seen import ReplyNamed
from metering.sse import Events, data_of
from metering.tokens import count
from metering.usage import Unit, Usage

AUDIO_TOKENS_PER_S = 10  # One for each 100 ms, as documented.
# `00:01:02,500 --> 00:01:04,000` in srt, with a point and perhaps without hours in vtt.
_UNTIL = re.compile(rb"--> *(?:(\d{1,4}):)?(\d\d):(\d\d)[.,](\d\d\d)")


@dataclass(frozen=True, slots=True)
class Heard:
    """What of a call is known without its reply: the length of its sound, and its prompt."""

    milliseconds: int
    prompt: str


class _Reply(msgspec.Struct, gc=False):
    """What is picked out of a reply or an event."""

    type: Any = None
    error: Any = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    duration: Decimal | None = None
    text: str | None = None
    delta: str | None = None


_reply = msgspec.json.Decoder(_Reply)
_NULL = b"null"


class TranscriptionReader(ReplyNamed):
    """The `UsageReader` of one transcription or translation."""

    def __init__(self, heard: Heard, row: ModelRow) -> None:
        super().__init__()
        self._heard = heard
        self._row = row
        self._events = Events()
        self._reported: Usage | None = None
        self._text: list[str] = []
        self._seen = False
        self._subtitles_until = 0

    @property
    def source(self) -> Literal["reported", "counted", "none"]:
        """Where `usage` comes from; an error instead of a text used nothing."""
        if self._reported is not None:
            return "reported"
        return "counted" if self._seen else "none"

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk of a stream, which is passed on as it is."""
        for event in self._events.feed(chunk):
            self._look(event)
        return chunk

    def feed_json(self, body: bytes) -> None:
        """Take a whole reply, JSON or not."""
        try:
            reply = _reply.decode(body) if body.lstrip()[:1] == b"{" else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            reply = None
        if reply is None:
            self._take_text(body)
            return
        if reply.error is not None:
            self._take_error(reply.error)
        else:
            self._seen = True
        self._text.append(reply.text or "")
        self._take_usage(reply.usage)
        if self._reported is None and reply.duration is not None:
            said = duration(reply.duration)
            if said is not None and self._prices(Unit.AUDIO_MILLISECONDS):
                self._reported = said

    def finish(self) -> bytes:
        """Nothing was held back."""
        if self._events.overflowed:
            self.flagged.append("event_too_long")
        rest, self._events = self._events.rest, Events()
        if rest:
            self._look(rest)
        return b""

    def usage(self) -> Usage:
        """As OpenAI reported it, else measured from the sound and the text; counting blocks."""
        if self._reported is not None:
            return self._reported
        if self.source == "none":
            return Usage()
        milliseconds = max(self._heard.milliseconds, self._subtitles_until)
        if self._prices(Unit.AUDIO_MILLISECONDS):
            # OpenAI reports, and bills, whole seconds.
            return Usage({Unit.AUDIO_MILLISECONDS: -(-milliseconds // 1000) * 1000})
        encoding = self._row.encoding
        return Usage(
            {
                Unit.INPUT: count(self._heard.prompt, encoding),
                Unit.AUDIO_INPUT: -(-milliseconds * AUDIO_TOKENS_PER_S // 1000),
                Unit.OUTPUT: count("".join(self._text), encoding),
            }
        )

    def so_far(self) -> int:
        """About the output tokens of the text that was seen."""
        return sum(map(len, self._text)) // 4

    def _prices(self, unit: Unit) -> bool:
        return unit in self._row.tiers[DEFAULT_TIER]

    def _take_text(self, body: bytes) -> None:
        self._seen = True
        self._text.append(body.decode("utf-8", "replace"))
        for hours, minutes, seconds, thousandths in _UNTIL.findall(body):
            until = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
            self._subtitles_until = max(self._subtitles_until, until * 1000 + int(thousandths))

    def _look(self, event: bytes) -> None:
        data = data_of(event)
        if not data.strip():
            return
        if data.strip() == b"[DONE]":
            self.saw_done = True
            return
        try:
            found = _reply.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.flagged.append("event_not_understood")
            return
        if found.error is not None:
            self._take_error(found.error)
            return
        if found.type == "transcript.text.delta" and found.delta:
            self._seen = True
            self._text.append(found.delta)
        elif found.type == "transcript.text.segment":
            self._seen = True
        elif found.type == "transcript.text.done":
            self._seen = self.saw_done = True
            self._text = [found.text or "".join(self._text)]
            self._take_usage(found.usage)

    def _take_usage(self, raw: msgspec.Raw) -> None:
        if bytes(raw) == _NULL:
            return
        priced = self._row.tiers[DEFAULT_TIER]
        usage = read_usage(raw, self.flagged, priced=priced)
        if usage is not None:
            self._reported = usage
