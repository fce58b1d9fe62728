"""What a meter is: it bounds a call before it is made, and reads what the reply used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from metering.call import Call
from metering.prices import DEFAULT_TIER, ModelRow
from metering.usage import Unit, Usage

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


NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Ceiling:
    """
    The most a call can use.

    Attributes:
        input_tokens: All tokens that can go in, whatever they will be billed as.
        output_limit: Output tokens of one choice, as written into the body; 0 where the
            endpoint knows no such limit.
        choices: How many choices the call asks for; each may use the whole limit.
        extra_output: Output tokens that each choice may be billed beyond its limit.
        others: What it can use besides, such as images, searches or milliseconds.
        input_unit, output_unit: The dearest unit those tokens can turn out to be.
        turns: How often the model may read and write within the call, for its tools.
        output_is_fixed: Whether the limit cannot be written into the body, so not lowered.
        rough_input: About how many tokens go in, for checkpoints; None where that is a
            quarter of the body's bytes.
    """

    input_tokens: int = 0
    output_limit: int = 0
    choices: int = 1
    extra_output: int = 0
    others: Usage = field(default_factory=lambda: NOTHING)
    input_unit: Unit = Unit.INPUT
    output_unit: Unit = Unit.OUTPUT
    turns: int = 1
    output_is_fixed: bool = False
    rough_input: int | None = None

    @property
    def output_tokens(self) -> int:
        """All output tokens of all choices."""
        return (self.output_limit + self.extra_output) * self.choices

    @property
    def tokens(self) -> int:
        """The most tokens, in and out."""
        return self.input_tokens + self.output_tokens + self.others.tokens

    def usage(self) -> Usage:
        """All of it."""
        return self._usage(self.input_tokens, self.output_tokens)

    def so_far(self, input_tokens: int, output_tokens: int) -> Usage:
        """Tokens that were seen, in the units they can be billed as."""
        return Usage({self.input_unit: input_tokens, self.output_unit: output_tokens})

    def _usage(self, input_tokens: int, output_tokens: int) -> Usage:
        if not self.others:
            return Usage({self.input_unit: input_tokens, self.output_unit: output_tokens})
        counts = dict(self.others.items())
        for unit, count in ((self.input_unit, input_tokens), (self.output_unit, output_tokens)):
            counts[unit] = counts.get(unit, 0) + count
        return Usage(counts)


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
    """
    Knows one family of endpoints.

    `family` is what a model's row must serve; `fits` says whether the output limit may be
    lowered to what the balance affords, though never below `least_output`.
    """

    family: str
    fits: bool
    least_output: int

    def read(self, call: Call) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood: A field is not what OpenAI documents.
            CostNotBounded: A part may cost more than its bytes tell, is not switched on
                for the business, or is unknown.
        """
        ...

    def tier(self, call: Call) -> str:
        """The service tier whose prices bound the call; the reply's tier prices it."""
        ...

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """The output tokens that each choice may have: the call's own limit, or ours."""
        ...

    def prepare(self, call: Call, *, output_limit: int) -> None:
        """Write into the body what makes the ceiling true and the usage come back."""
        ...

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most a prepared call can use.

        Raises:
            CostNotBounded: The row has no price for something that it may use.
        """
        ...

    def count_input(self, call: Call, row: ModelRow) -> int:
        """An upper bound of the input tokens, tighter than the ceiling's; blocks."""
        ...

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """What a caller that left before anything was seen pays for; blocks."""
        ...

    def asks_for_usage(self, call: Call) -> bool:
        """Whether the caller wants the usage event of a stream; ask before `prepare`."""
        ...

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> UsageReader:
        """A reader for the reply of this call."""
        ...


class PlainMeter:
    """What most meters say alike; a family says only what is different with it."""

    family = ""
    fits = False
    least_output = 1

    def tier(self, call: Call) -> str:
        """The default tier."""
        return DEFAULT_TIER

    def output_limit(self, call: Call, limits: OutputLimits) -> int:
        """The endpoint knows no limit of output tokens."""
        return 0

    def prepare(self, call: Call, *, output_limit: int) -> None:
        """Nothing has to be written into the body."""

    def asks_for_usage(self, call: Call) -> bool:
        """Usage is no event that could be left out."""
        return True
