"""
Watches the reply of a response, JSON or a stream, and knows what it used.

On the normal path nothing is decoded but the few events that hold the whole response: the
rest of a stream is looked at only when its usage never comes. No byte is kept back.
"""

from __future__ import annotations

from typing import Any

import msgspec

from metering.call import Call
from metering.prices import Rate
from metering.reply_seen import ReplySeen
from metering.responses.prompt import estimated_tokens
from metering.responses.text import ResponseText
from metering.responses.usage import ToolCalls, priced, read_usage, searches_reported
from metering.sse import Events, data_of
from metering.usage import Unit, Usage

_NULL = b"null"

# These begin a stream; every other event with a response ends it, and tells the usage.
_FIRST = frozenset({"response.created", "response.queued", "response.in_progress"})


class _Response(msgspec.Struct, gc=False):
    """What is picked out of a response; everything else is skipped."""

    id: Any = None
    model: Any = None
    status: Any = None
    service_tier: Any = None
    error: Any = None
    usage: msgspec.Raw = msgspec.Raw(_NULL)
    tool_usage: Any = None
    output: msgspec.Raw = msgspec.Raw(_NULL)


class _Event(msgspec.Struct, gc=False):
    """An event that may hold a response or an error."""

    type: Any = None
    response: msgspec.Raw = msgspec.Raw(_NULL)
    error: Any = None
    code: Any = None


_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)
_items = msgspec.json.Decoder(list[Any])


class ResponsesReader(ReplySeen):
    """The `UsageReader` of one response."""

    _text: ResponseText

    def __init__(self, call: Call, *, encoding: str, rate: Rate, most_event_bytes: int) -> None:
        super().__init__(call, ResponseText(), encoding=encoding)
        self._rate = rate
        self._events = Events(most_bytes=most_event_bytes)
        # Whether the last chunk ended within an event.
        self._within = False
        self.status: str | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk of a stream; all of it is passed on."""
        if not self._within and chunk.endswith(b"\n\n") and _is_plain(chunk):
            self._text.add(chunk)
            return chunk
        for event in self._events.feed(chunk):
            self._look(event)
        self._within = len(self._events) > 0
        return chunk

    def feed_json(self, body: bytes) -> None:
        """Take a whole JSON reply."""
        self._text.add_json(body)
        if not self._take_response(body, is_last=True):
            self.flagged.append("reply_not_understood")

    def finish(self) -> bytes:
        """Nothing is ever held back; an event that was cut is looked at as it is."""
        if self._events.overflowed:
            self.flagged.append("event_too_long")
        rest, self._events, self._within = self._events.rest, Events(), False
        if rest:
            self._look(rest)
        return b""

    def usage(self) -> Usage:
        """What the call used: as OpenAI reported it, else counted; counting blocks."""
        if self._reported is not None:
            return self._reported
        if self.source == "none":
            return Usage()
        tokens = {
            Unit.INPUT: estimated_tokens(self._call.fields, self._encoding),
            Unit.OUTPUT: self._text.tokens(self._encoding),
        }
        return Usage(tokens | priced(self._text.calls().units(), self._rate, self.flagged))

    def _look(self, event: bytes) -> None:
        """Take what an event says."""
        if _is_plain(event):
            self._text.add(event)
            return
        head = _decode(data_of(event))
        if head is None:
            if event.endswith((b"\n", b"\r")):
                self.flagged.append("event_not_understood")
        elif bytes(head.response) != _NULL:
            self._text.empty = False
            is_last = head.type not in _FIRST
            self._take_response(head.response, is_last=is_last)
            if is_last and self._reported is None:
                self._text.add_json(bytes(head.response))
        elif head.type == "error" or head.error is not None:
            self._text.empty = False
            self._take_error(head.error if head.error is not None else {"code": head.code})
        else:
            self._text.add(event)

    def _take_response(self, raw: bytes | msgspec.Raw, *, is_last: bool) -> bool:
        """Take what a response says of itself; whether it was one."""
        try:
            response = _response.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        self._take_names(id=response.id, model=response.model, tier=response.service_tier)
        if isinstance(response.status, str):
            self.status = response.status
        self._take_error(response.error)
        self.saw_done |= is_last
        if not is_last or bytes(response.usage) == _NULL:
            return True
        tokens = read_usage(response.usage, self.flagged, self._rate.short)
        if tokens is not None:
            self._reported = Usage(dict(tokens.items()) | self._tools(response))
        return True

    def _tools(self, response: _Response) -> dict[Unit, int]:
        units = _calls_in(bytes(response.output)).units()
        searches = searches_reported(response.tool_usage, self.flagged)
        if searches is not None:
            units[Unit.WEB_SEARCHES] = searches
        return priced(units, self._rate, self.flagged) if any(units.values()) else {}


def _calls_in(output: bytes) -> ToolCalls:
    """The calls of OpenAI's tools among the output items; most outputs have none."""
    calls = ToolCalls()
    if b"_call" not in output:
        return calls
    try:
        items = _items.decode(output)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return calls
    for place, item in enumerate(items):
        if isinstance(item, dict):
            calls.add(place, item)
    return calls


def _is_plain(events: bytes) -> bool:
    """
    Whether whole events hold neither a response nor an error.

    In a text these quotes would be escaped, so only a key is found, or a text that is this
    one word, which is looked at and found harmless.
    """
    return b'"response"' not in events and b'"error"' not in events


def _decode(data: bytes) -> _Event | None:
    try:
        return _event.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
