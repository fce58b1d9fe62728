"""What a meter is: it bounds a call before it is made, and reads what the reply used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from metering.call import Call
from metering.usage import Usage

Source = Literal["reported", "counted", "none"]

# A token of a text covers at least one byte of it, and JSON never shortens a text; the
# framing of a message is shorter than the JSON around it. These tokens more cover the rest:
# the primer of the reply and what OpenAI adds once to a prompt.
FRAMING_TOKENS = 64


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """
    How many output tokens a choice may have.

    `default` when the caller sets no limit; `most` is what the model can give at all.
    """

    default: int
    most: int


class UsageReader(Protocol):
    """
    Watches one reply and knows what it used.

    `source` is "none" until something was seen; `flagged` lists what was odd, by name.
    `error` is the code of an error that OpenAI sent in the middle of a stream.
    """

    model: str | None
    tier: str | None
    upstream_id: str | None
    saw_done: bool
    error: str | None
    flagged: list[str]

    @property
    def source(self) -> Source:
        """Where `usage` comes from."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """
        Take a chunk of an SSE reply; gives back the bytes to pass on now.

        Usually the same object. What is not passed on now is either passed on by a later
        call or by `finish`, or it is the usage event the caller did not ask for.
        """
        ...

    def feed_json(self, body: bytes) -> None:
        """Take a whole JSON reply, which is passed on unchanged."""
        ...

    def finish(self) -> bytes:
        """What was still held back when the stream ended."""
        ...

    def usage(self) -> Usage:
        """
        What the call used: as reported, else counted from what was seen.

        Counting blocks, so call this in a thread unless `source` is "reported".
        """
        ...

    def so_far(self) -> int:
        """A cheap estimate of the output tokens seen, for checkpoints."""
        ...


class Meter(Protocol):
    """Knows one family of endpoints."""

    family: str

    def read(self, fields: dict[str, Any]) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood: A field is not what OpenAI documents.
            CostNotBounded: A part may cost more than its bytes tell, or is unknown.
        """
        ...

    def choices(self, call: Call) -> int:
        """How many choices the call asks for; each may use the whole output limit."""
        ...

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """The output tokens that each choice may have: the call's own limit, or ours."""
        ...

    def extra_output(self, call: Call) -> int:
        """Output tokens that each choice may be billed beyond its limit."""
        ...

    def ceiling(self, call: Call, limits: OutputLimits) -> Usage:
        """The most the call can use; the input is given as `INPUT` whatever it will be."""
        ...

    def prepare(self, call: Call, *, output_limit: int | None) -> None:
        """Write into the body what makes the ceiling true and the usage come back."""
        ...

    def count_input(self, call: Call, encoding: str) -> int:
        """An upper bound of the input tokens, tighter than by bytes; blocks."""
        ...

    def asks_for_usage(self, call: Call) -> bool:
        """Whether the caller wants the usage event of a stream; ask before `prepare`."""
        ...

    def reader(self, call: Call, *, encoding: str, asked_for_usage: bool) -> UsageReader:
        """A reader for the reply of this call."""
        ...
