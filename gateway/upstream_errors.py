"""
What can go wrong between us and OpenAI.

    UpstreamError               a call that OpenAI did not answer as HTTP asks
    ├── UpstreamUnreachable     nothing was sent: asking again costs nothing
    ├── UpstreamTimeout         it was sent, and the reply did not come in time
    └── UpstreamBroken          it was sent, and the reply is cut or is not HTTP

A status such as 429 or 500 is an answer and not an error. `sent` says whether OpenAI may have
seen the call, and so may have billed it. No message carries our key or a part of the body.
"""

from __future__ import annotations


class UpstreamError(Exception):
    """OpenAI gave no answer that can be passed on."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class UpstreamUnreachable(UpstreamError):
    """No connection could be had, so OpenAI has not seen the call."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=False)


class UpstreamTimeout(UpstreamError):
    """The call was sent; whether OpenAI has billed it is unknown."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class UpstreamBroken(UpstreamError):
    """The reply ended early, or is not one that we can pass on."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message, sent=sent)
