"""The text of a reply, kept so that it can be counted when OpenAI reports no usage."""

from __future__ import annotations

import msgspec

from metering.sse import Events, data_of
from metering.tokens import count

# Raw events are kept up to this many bytes and then reduced to their text, so that a long
# stream does not keep 60 bytes of JSON for each byte of text.
MOST_RAW_BYTES = 65_536

_TOKENS_A_SECOND = 20
_BYTES_A_SECOND = 48_000


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class _ToolCall(msgspec.Struct, gc=False):
    index: int = 0
    function: _Function | None = None
    custom: _Function | None = None


class _Audio(msgspec.Struct, gc=False):
    transcript: str | None = None
    data: str | None = None


class _Message(msgspec.Struct, gc=False):
    """A message, or the delta of one."""

    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    function_call: _Function | None = None
    tool_calls: list[_ToolCall] | None = None
    audio: _Audio | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Message | None = None
    message: _Message | None = None
    text: str | None = None


class _Reply(msgspec.Struct, gc=False):
    choices: list[_Choice] = []


_reply = msgspec.json.Decoder(_Reply)

# One text of the reply: its choice, what it is, and which tool call.
Place = tuple[int, str, int]


class TextSeen:
    """
    All text of one reply, by choice and kind; only put in order when someone asks.

    `empty` says that nothing came at all; comments that keep a connection open are nothing.
    """

    def __init__(self) -> None:
        self.empty = True
        self._first = b""
        self._raw: list[bytes] = []
        self._raw_bytes = 0
        self._json: list[bytes] = []
        self._texts: dict[Place, list[str]] = {}
        self._text_bytes = 0
        self._audio_characters = 0

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
        """About how many tokens there are: a quarter of the text's bytes, and the speech."""
        return self.audio_tokens() - (-self._text_bytes // 4)

    def audio_tokens(self) -> int:
        """
        The tokens of what was spoken: one for 50 milliseconds.

        A stream speaks in 16 bits at 24 kHz, and its JSON has 4 characters for 3 bytes.
        """
        self._reduce()
        return -(-self._audio_characters * 3 * _TOKENS_A_SECOND // (4 * _BYTES_A_SECOND))

    def tokens(self, encoding: str) -> int:
        """The tokens of all text; blocks."""
        self._reduce()
        return sum(count("".join(parts), encoding) for parts in self._texts.values())

    def _reduce(self) -> None:
        if self._raw:
            events = Events()
            for event in [*events.feed(b"".join(self._raw)), events.rest]:
                self._take_all(data_of(event))
        for body in self._json:
            self._take_all(body)
        self._raw, self._raw_bytes, self._json = [], 0, []

    def _take_all(self, data: bytes) -> None:
        for choice in _choices(data):
            for message in (choice.delta, choice.message):
                if message is not None:
                    self._take(choice.index, message)
            self._keep((choice.index, "text", 0), choice.text)

    def _take(self, choice: int, message: _Message) -> None:
        self._keep((choice, "content", 0), message.content)
        self._keep((choice, "refusal", 0), message.refusal)
        self._keep((choice, "reasoning", 0), message.reasoning or message.reasoning_content)
        if message.audio is not None:
            self._keep((choice, "audio", 0), message.audio.transcript)
            self._audio_characters += len(message.audio.data or "")
        if message.function_call is not None:
            self._function((choice, "function", 0), message.function_call)
        for call in message.tool_calls or ():
            for function in (call.function, call.custom):
                if function is not None:
                    self._function((choice, "tool", call.index), function)

    def _function(self, place: Place, function: _Function) -> None:
        for text in (function.name, function.arguments, function.input):
            self._keep(place, text)

    def _keep(self, place: Place, text: str | None) -> None:
        if text:
            self._texts.setdefault(place, []).append(text)
            self._text_bytes += len(text.encode())


def _choices(data: bytes) -> list[_Choice]:
    try:
        return _reply.decode(data).choices
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
