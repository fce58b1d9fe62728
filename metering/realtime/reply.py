"""Watches the frames of one realtime response, or of one transcription, and knows what it used."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from metering.call import Call
from metering.prices import Rate
from metering.realtime.usage import read_transcription, read_usage
from metering.reply_seen import ReplyNamed
from metering.tokens import count
from metering.usage import Unit, Usage

_NULL = b"null"
_CODE_CHARACTERS = 64

# A token of output audio is 50 ms (OpenAI's guide to costs), which is 2,400 bytes of PCM.
AUDIO_BYTES_A_TOKEN = 2400

_SPOKEN = frozenset({"response.output_audio.delta", "response.audio.delta"})
_WRITTEN = frozenset(
    {
        "response.text.delta", "response.output_text.delta",
        "response.audio_transcript.delta", "response.output_audio_transcript.delta",
        "response.function_call_arguments.delta",
    }
)  # fmt: skip


class _Details(msgspec.Struct, gc=False):
    error: Any = None


class _Response(msgspec.Struct, gc=False):
    id: Any = None
    status: Any = None
    status_details: _Details | None = None
    usage: msgspec.Raw = msgspec.Raw(_NULL)


class _Frame(msgspec.Struct, gc=False):
    type: Any = None
    delta: Any = None
    response: _Response | None = None


_frame = msgspec.json.Decoder(_Frame)


class RealtimeReader(ReplyNamed):
    """
    The `UsageReader` of one response.

    `about` is what the conversation may be, in tokens of text and of audio, for a response
    whose usage never comes.
    """

    def __init__(self, call: Call, *, encoding: str, rate: Rate) -> None:
        super().__init__()
        self.about = (0, 0)
        self._encoding = encoding
        self._rate = rate
        self._texts: list[str] = []
        self._text_length = 0
        self._audio_length = 0
        self._reported: Usage | None = None
        self._empty = True

    @property
    def source(self) -> Literal["reported", "counted", "none"]:
        """Where `usage` comes from."""
        if self._reported is not None:
            return "reported"
        return "none" if self._empty else "counted"

    def feed(self, chunk: bytes) -> bytes:
        """Take a frame; all of it is passed on."""
        try:
            frame = _frame.decode(chunk)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.flagged.append("frame_not_understood")
            return chunk
        self._empty = False
        if isinstance(frame.delta, str):
            self._take_delta(frame.type, frame.delta)
        elif frame.response is not None:
            self._take_response(frame.response, is_last=frame.type == "response.done")
        return chunk

    def feed_json(self, body: bytes) -> None:
        """There is no reply in one piece."""

    def finish(self) -> bytes:
        """Nothing is ever held back."""
        return b""

    def usage(self) -> Usage:
        """What the response used: as OpenAI reported it, else counted; counting blocks."""
        if self._reported is not None:
            return self._reported
        text, audio = self.about
        written = sum(count(part, self._encoding) for part in ["".join(self._texts)])
        spoken = self._spoken()
        counts = {Unit.INPUT: text, Unit.AUDIO_INPUT: audio, Unit.OUTPUT: written}
        return Usage(counts | {Unit.AUDIO_OUTPUT: spoken})

    def so_far(self) -> int:
        """About how many output tokens were seen."""
        return self._text_length // 4 + self._spoken()

    def _spoken(self) -> int:
        return -(-self._audio_length * 3 // 4 // AUDIO_BYTES_A_TOKEN) if self._audio_length else 0

    def _take_delta(self, kind: Any, delta: str) -> None:
        if kind in _SPOKEN:
            self._audio_length += len(delta)
        elif kind in _WRITTEN:
            self._texts.append(delta)
            self._text_length += len(delta)

    def _take_response(self, response: _Response, *, is_last: bool) -> None:
        if isinstance(response.id, str):
            self.upstream_id = response.id
        if not is_last:
            return
        self.saw_done = True
        if response.status == "failed":
            self.error = _code(response.status_details)
        if bytes(response.usage) != _NULL:
            self._reported = read_usage(response.usage, self._rate, self.flagged)


class TranscriptReader:
    """The `UsageReader` of the transcription of one item of audio."""

    def __init__(self, call: Call, *, rate: Rate) -> None:
        self.model: str | None = None
        self.tier: str | None = None
        self.upstream_id: str | None = None
        self.saw_done = False
        self.error: str | None = None
        self.flagged: list[str] = []
        self._call = call
        self._rate = rate
        self._reported: Usage | None = None

    @property
    def source(self) -> Literal["reported", "counted", "none"]:
        """Where `usage` comes from."""
        if self._reported is not None:
            return "reported"
        return "counted" if self.saw_done else "none"

    def feed(self, chunk: bytes) -> bytes:
        """Take the frame that tells that it is done; all of it is passed on."""
        try:
            frame: Any = msgspec.json.decode(chunk)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.flagged.append("frame_not_understood")
            return chunk
        self.saw_done = True
        self._reported = read_transcription(frame.get("usage"), self._rate, self.flagged)
        return chunk

    def feed_json(self, body: bytes) -> None:
        """There is no reply in one piece."""

    def finish(self) -> bytes:
        """Nothing is ever held back."""
        return b""

    def usage(self) -> Usage:
        """What it used: as OpenAI reported it, else the audio that it was made of."""
        if self._reported is not None:
            return self._reported
        milliseconds = self._call.fields["milliseconds"]
        if self._rate.prices(Unit.AUDIO_MILLISECONDS):
            return Usage({Unit.AUDIO_MILLISECONDS: milliseconds})
        return Usage({Unit.AUDIO_INPUT: milliseconds // 100, Unit.OUTPUT: milliseconds // 250})

    def so_far(self) -> int:
        """It comes in one piece."""
        return 1 if self.saw_done else 0


def _code(details: _Details | None) -> str:
    error = details.error if details is not None else None
    code = error.get("code") or error.get("type") if isinstance(error, dict) else None
    return code[:_CODE_CHARACTERS] if isinstance(code, str) else "upstream_error"
