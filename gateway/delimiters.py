"""Delimiters: where the boundary of a multipart body stands, counted apart from its parser."""

from __future__ import annotations

from gateway.errors import RequestRefused


class Delimiters:
    """
    The places of a delimiter in a body that is split anywhere, from the body's start.

    Every parser agrees on what a delimiter is when it stands between parts and nowhere else;
    how one is read that stands within a part is where they differ.
    """

    def __init__(self, boundary: bytes, *, most: int) -> None:
        self.places: list[int] = []
        self._most = most
        self._mark = b"--" + boundary
        self._length = 0
        self._tail = b""
        self._last = b""

    def feed(self, piece: bytes) -> None:
        """
        Look through the next bytes.

        Raises:
            RequestRefused: There are more than `most` of them.
        """
        mark = self._mark
        # One byte less than a mark is kept, so none is found twice and none is missed.
        window = self._tail + piece
        start = self._length - len(self._tail)
        at = window.find(mark)
        while at >= 0:
            self.places.append(start + at)
            if len(self.places) > self._most:
                raise refused(f"it has more than {self._most - 1} parts")
            at = window.find(mark, at + 1)
        self._length += len(piece)
        self._tail = window[len(window) - min(len(window), len(mark) - 1) :]
        self._last = (self._last + piece[-len(mark) - 4 :])[-len(mark) - 4 :]

    def end(self) -> None:
        """
        Look at how it begins and ends.

        Raises:
            RequestRefused: Something stands before the first part or behind the last one,
                which only some parsers read.
        """
        ends = self._last.endswith((self._mark + b"--", self._mark + b"--\r\n"))
        if not self.places or self.places[0] != 0 or not ends:
            raise refused("something stands before its first part or behind its last one")


def refused(why: str) -> RequestRefused:
    """A body that cannot be read, or not in one way only."""
    return RequestRefused(f"the multipart body cannot be read: {why}")
