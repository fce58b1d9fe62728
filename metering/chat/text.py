"""The text of a chat completion, for when OpenAI reports no usage."""

from __future__ import annotations

import msgspec

from metering.text_seen import Place, TextSeen

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


class ChatText(TextSeen):
    """All text of one chat completion, by choice and kind."""

    def __init__(self) -> None:
        super().__init__()
        self._audio_characters = 0

    def so_far(self) -> int:
        """About how many tokens there are: a quarter of the text's bytes, and the speech."""
        return super().so_far() + self.audio_tokens()

    def audio_tokens(self) -> int:
        """
        The tokens of what was spoken: one for 50 milliseconds.

        A stream speaks in 16 bits at 24 kHz, and its JSON has 4 characters for 3 bytes.
        """
        self._reduce()
        return -(-self._audio_characters * 3 * _TOKENS_A_SECOND // (4 * _BYTES_A_SECOND))

    def _take_event(self, data: bytes) -> None:
        self._take_all(data)

    def _take_reply(self, body: bytes) -> None:
        self._take_all(body)

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


def _choices(data: bytes) -> list[_Choice]:
    try:
        return _reply.decode(data).choices
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
