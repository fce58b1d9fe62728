"""
A stream of events without the pictures and sounds in it, to find the usage in what is left.

An event with a picture has megabytes in one text, and the usage may stand on either side of
it. Runs of base64 are left out, so what is left is still JSON and is short.
"""

from __future__ import annotations

import re

LONGEST_RUN = 512  # No word, id or number is as long; a picture of one pixel is not longer.

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_LONG = re.compile(rb"[A-Za-z0-9+/=]{%d,}" % (LONGEST_RUN + 1))


class WithoutBase64:
    """Takes a stream that is split anywhere, and gives it back without its long runs."""

    def __init__(self) -> None:
        self.left_out = 0
        self._within = False
        self._run = b""

    def feed(self, chunk: bytes) -> bytes:
        """What of it can be told by now; a run that has not ended waits."""
        text = self._run + chunk
        self._run = b""
        if self._within:
            rest = text.lstrip(_ALPHABET)
            self.left_out += len(text) - len(rest)
            if not rest:
                return b""
            self._within, text = False, rest
        kept = text.rstrip(_ALPHABET)
        run = text[len(kept) :]
        if len(run) > LONGEST_RUN:
            self._within = True
            self.left_out += len(run)
        else:
            self._run = run
        short = _LONG.sub(b"", kept)
        self.left_out += len(kept) - len(short)
        return short

    def finish(self) -> bytes:
        """The run that the stream ended with, when it was a short one."""
        run, self._run = self._run, b""
        return run
