"""The text of a reply, kept so that it can be counted when OpenAI reports no usage."""

from __future__ import annotations

from abc import ABC, abstractmethod

from metering.sse import Events, data_of
from metering.tokens import count

# Raw events are kept up to this many bytes and then reduced to their text, so that a long
# stream does not keep 60 bytes of JSON for each byte of text.
MOST_RAW_BYTES = 65_536

# One text of the reply: its choice or output item, what it is, and which part of it.
Place = tuple[int, str, int]


class TextSeen(ABC):
    """
    All text of one reply, by place; only put in order when someone asks.

    A family says where its texts are: `_take_event` and `_take_reply` call `_keep`. `empty`
    says that nothing came at all; comments that keep a connection open are nothing.
    """

    def __init__(self) -> None:
        self.empty = True
        self._first = b""
        self._raw: list[bytes] = []
        self._raw_bytes = 0
        self._json: list[bytes] = []
        self._texts: dict[Place, list[str]] = {}
        self._text_bytes = 0

    def add(self, events: bytes) -> None:
        """Keep one or more whole events of a stream."""
        if self.empty and b"data:" in events:
            self.empty = False
            self._first = events
        self._raw.append(events)
        self._raw_bytes += len(events)
        if self._raw_bytes > MOST_RAW_BYTES:
            self._reduce()

    def add_json(self, body: bytes) -> None:
        """Keep a whole JSON reply."""
        self.empty = False
        self._json.append(body)

    def first_event(self) -> bytes:
        """The event a stream began with: it names the model."""
        events = Events().feed(self._first)
        return next((event for event in events if b"data:" in event), b"")

    def so_far(self) -> int:
        """About how many tokens the text has: a quarter of its bytes."""
        self._reduce()
        return -(-self._text_bytes // 4)

    def tokens(self, encoding: str) -> int:
        """The tokens of all text; blocks."""
        self._reduce()
        return sum(count("".join(parts), encoding) for parts in self._texts.values())

    def _reduce(self) -> None:
        if self._raw:
            events = Events()
            for event in [*events.feed(b"".join(self._raw)), events.rest]:
                self._take_event(data_of(event))
        for body in self._json:
            self._take_reply(body)
        self._raw, self._raw_bytes, self._json = [], 0, []

    @abstractmethod
    def _take_event(self, data: bytes) -> None:
        """Keep the texts in the data of one event."""

    @abstractmethod
    def _take_reply(self, body: bytes) -> None:
        """Keep the texts of a whole reply."""

    def _keep(self, place: Place, text: object) -> None:
        """Add a piece to a text; what is no text is left out."""
        if isinstance(text, str) and text:
            self._texts.setdefault(place, []).append(text)
            self._text_bytes += len(text.encode("utf-8", "surrogatepass"))

    def _keep_whole(self, place: Place, text: object) -> None:
        """Put a whole text in the place of its pieces."""
        if isinstance(text, str) and text:
            before = "".join(self._texts.pop(place, []))
            self._text_bytes -= len(before.encode("utf-8", "surrogatepass"))
            self._keep(place, text)
