"""
Server-sent events out of bytes that may be split anywhere.

Nothing is decoded and nothing is changed: the events and the rest, joined, are the bytes
that were fed, so a relay can pass every byte on and still know where events end.
"""

from __future__ import annotations

import re

# OpenAI's longest event is a whole response of some 100 kB; more is not an event of theirs.
MOST_EVENT_BYTES = 1 << 20

# A blank line after a line: each of them ends with LF, CR LF or CR. The groups are atomic:
# a CR LF is never taken for a CR and an LF that follow one another.
_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINES = re.compile(rb"\r\n|\n|\r")


class Events:
    """
    Cuts a stream into events, each with the blank line that ends it.

    An event that grows beyond `most_bytes` is given back in pieces, `overflowed` is
    set, and the next event is found again after the next blank line.
    """

    __slots__ = ("_most_bytes", "_rest", "_scanned", "overflowed")

    def __init__(self, most_bytes: int = MOST_EVENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = bytearray()
        self._scanned = 0
        self.overflowed = False

    @property
    def rest(self) -> bytes:
        """The bytes of the event that has not ended yet."""
        return bytes(self._rest)

    def __len__(self) -> int:
        """How many bytes the event that has not ended yet has."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes, as raw bytes."""
        rest = self._rest
        rest += chunk
        events: list[bytes] = []
        start = 0
        for end in self._ends(rest):
            events.append(bytes(rest[start:end]))
            start = end
        del rest[:start]
        if len(rest) > self._most_bytes:
            self.overflowed = True
            events.append(bytes(rest))
            rest.clear()
        # A blank line may begin in the last three bytes.
        self._scanned = max(0, len(rest) - 3)
        return events

    def _ends(self, rest: bytearray) -> list[int]:
        if rest.find(b"\r", self._scanned) < 0:
            return _line_feed_ends(rest, self._scanned)
        ends = [match.end() for match in _END.finditer(rest, self._scanned)]
        # A CR after an LF is most likely half of a CR LF whose LF is still to come.
        if ends and ends[-1] == len(rest) and rest.endswith(b"\n\r"):
            ends.pop()
        return ends


def _line_feed_ends(rest: bytearray, start: int) -> list[int]:
    """The same where every line ends with LF, as OpenAI's do: found many times faster."""
    ends = []
    at = rest.find(b"\n\n", start)
    while at >= 0:
        ends.append(at + 2)
        at = rest.find(b"\n\n", at + 2)
    return ends


def data_of(event: bytes) -> bytes:
    """The data of an event: its `data:` lines joined with LF, as the standard says."""
    if event.startswith(b"data: ") and b"\ndata" not in event and b"\rdata" not in event:
        return _LINES.split(event, 1)[0][6:]
    lines = (line for line in _LINES.split(event) if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
