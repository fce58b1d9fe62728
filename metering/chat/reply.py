"""
Watches the reply of a chat completion, JSON or a stream, and knows what it used.

On the normal path nothing is decoded but the one event that carries the usage: the rest of
a stream is looked at only when that event never comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from metering.call import Call
from metering.chat.prompt import estimated_tokens
from metering.chat.stand_ins import TEXT_ONLY, with_stand_ins
from metering.chat.text import ChatText
from metering.chat.usage import read_usage
from metering.prices import Prices
from metering.reply_seen import ReplySeen
from metering.sse import Events, data_of
from metering.usage import Unit, Usage

# OpenAI's usage event has some 500 bytes; an event that has grown beyond this is another.
MOST_USAGE_EVENT_BYTES = 16_384

_HAS_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*[^\s\]]')
_MOST_SEARCHES = 10_000
_ERROR_WITHIN = 80

# data, event, id, retry: an event begins with one of these, or with what is left of a CR LF.
_FIELD_BEGINS = frozenset((b"d", b"e", b"i", b"r", b"\r", b"\n"))


class _Head(msgspec.Struct, gc=False):
    """What is picked out of a reply or of an event; everything else is skipped."""

    id: Any = None
    model: Any = None
    service_tier: Any = None
    error: Any = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    tool_usage: Any = None
    choices: msgspec.Raw = msgspec.Raw(b"null")


_head = msgspec.json.Decoder(_Head)
_NULL = b"null"
_EMPTY = re.compile(rb"\[\s*\]")


class ChatReader(ReplySeen):
    """The `UsageReader` of one chat completion."""

    def __init__(
        self,
        call: Call,
        *,
        encoding: str,
        asked_for_usage: bool,
        prices: Prices = TEXT_ONLY,
        counted: Callable[[], Usage] | None = None,
        echoed: Callable[[], int] | None = None,
        searches: int = 0,
    ) -> None:
        """
        Args:
            prices: Of the model that was asked for.
            counted: What the prompt is when no usage is reported; blocks.
            echoed: How many tokens of the reply's text are the prompt again; blocks.
            searches: Of the web, where the reply does not say how many there were.
        """
        self._spoken = ChatText()
        super().__init__(call, self._spoken, encoding=encoding)
        self._prices = prices
        self._counted = counted
        self._echoed = echoed
        self._searches = searches
        self._asked = asked_for_usage
        self._events = Events()
        # Whether the last chunk ended within an event, and how much of it was passed on.
        self._within = False
        self._passed = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk of a stream; gives back what to pass on now (see `UsageReader`)."""
        if not self._within and chunk.endswith(b"\n\n") and _is_plain(chunk):
            self._text.add(chunk)
            if chunk.endswith(b"data: [DONE]\n\n"):
                self.saw_done = True
            return chunk
        passed_on = self._feed_events(chunk)
        return chunk if self._asked else passed_on

    def feed_json(self, body: bytes) -> None:
        """Take a whole JSON reply."""
        self._text.add_json(body)
        head = _decode(body)
        if head is None:
            self.flagged.append("reply_not_understood")
            return
        self._take_head(head)
        self._take_error(head.error)
        self._take_usage(head)

    def finish(self) -> bytes:
        """What was still held back when the stream ended."""
        if self._events.overflowed:
            self.flagged.append("event_too_long")
        rest, passed = self._events.rest, self._passed
        self._events, self._within, self._passed = Events(), False, 0
        drop = self._look(rest) if rest else False
        if self.model is None:
            head = _decode(data_of(self._text.first_event()))
            if head is not None:
                self._take_head(head)
        return b"" if self._asked or drop else rest[passed:]

    def usage(self) -> Usage:
        """What the call used: as OpenAI reported it, else counted; counting blocks."""
        if self._reported is not None:
            return self._with_searches(self._reported)
        if self.source == "none":
            return Usage()
        counts = dict(self._prompt().items())
        echoed = self._echoed() if self._echoed is not None else 0
        counts[Unit.OUTPUT] = max(0, self._text.tokens(self._encoding) - echoed)
        counts[Unit.AUDIO_OUTPUT] = self._spoken.audio_tokens()
        return self._with_searches(with_stand_ins(counts, self._prices, self.flagged))

    def _prompt(self) -> Usage:
        if self._counted is not None:
            return self._counted()
        return Usage({Unit.INPUT: estimated_tokens(self._call.fields, self._encoding)})

    def _with_searches(self, usage: Usage) -> Usage:
        if not self._searches:
            return usage
        return Usage({**dict(usage.items()), Unit.WEB_SEARCHES: self._searches})

    def _feed_events(self, chunk: bytes) -> bytes:
        out: list[bytes] = []
        for event in self._events.feed(chunk):
            passed, self._passed = self._passed, 0
            drop = self._look(event)
            if not drop or passed:
                out.append(event[passed:])
        self._within = len(self._events) > 0
        if self._within and not self._asked:
            rest = self._events.rest
            if not self._may_be_usage(rest):
                out.append(rest[self._passed :])
                self._passed = len(rest)
        return b"".join(out)

    def _may_be_usage(self, rest: bytes) -> bool:
        """Whether an event that has not ended may turn out to be the extra usage event."""
        if self._passed or len(rest) > MOST_USAGE_EVENT_BYTES or rest[:1] not in _FIELD_BEGINS:
            return False
        return not _HAS_CHOICES.search(rest)

    def _look(self, event: bytes) -> bool:
        """Take what an event says; whether it is the extra usage event."""
        self._text.add(event)
        if b"[DONE]" in event and data_of(event).strip() == b"[DONE]":
            self.saw_done = True
            return False
        if b'"usage"' not in event and b'"error"' not in event:
            return False
        head = _decode(data_of(event))
        if head is None:
            if event.endswith((b"\n", b"\r")):
                self.flagged.append("event_not_understood")
            return False
        self._take_head(head)
        self._take_error(head.error)
        has_usage = self._take_usage(head)
        return has_usage and bool(_EMPTY.fullmatch(head.choices))

    def _take_head(self, head: _Head) -> None:
        self._take_names(id=head.id, model=head.model, tier=head.service_tier)

    def _take_usage(self, head: _Head) -> bool:
        """Keep the usage of this event, the last one wins; whether there was one."""
        if bytes(head.usage) == _NULL:
            return False
        usage = read_usage(head.usage, self.flagged, self._prices)
        if usage is not None:
            self._reported = usage
        if self._searches and head.tool_usage is not None:
            self._searches = _reported_searches(head.tool_usage, self._searches)
        return True


def _reported_searches(tool_usage: Any, otherwise: int) -> int:
    """How many searches are billed, where the reply says it."""
    web_search = tool_usage.get("web_search") if isinstance(tool_usage, dict) else None
    found = web_search.get("num_requests") if isinstance(web_search, dict) else None
    return found if type(found) is int and 0 <= found <= _MOST_SEARCHES else otherwise


def _is_plain(events: bytes) -> bool:
    """
    Whether whole events carry neither usage nor an error.

    With include_usage on, OpenAI writes `"usage":null` at the end of every other event. In a
    text these quotes would be escaped. Nearly every chunk is one event, so that is looked at
    first; an error of one event is at its beginning.
    """
    last = events.rfind(b'"usage"')
    if last >= 0 and not events.startswith(b'"usage":null', last):
        return False
    if events.find(b"\n\n") == len(events) - 2:
        return events.find(b'"error"', 0, _ERROR_WITHIN) < 0
    return events.count(b'"usage"') == events.count(b'"usage":null') and b'"error"' not in events


def _decode(data: bytes) -> _Head | None:
    try:
        return _head.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
