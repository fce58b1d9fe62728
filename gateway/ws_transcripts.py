"""
What is written down of what a realtime session hears: by another model, billed for itself.

OpenAI writes down each item of audio that is committed, by the caller or by its own turn
detection. So one hold is kept ready as long as audio flows; it is given to an item when that
is committed, and the next one is held.
"""

from __future__ import annotations

from typing import Any

from gateway.ws_errors import broken
from gateway.ws_talk import BaseTalk, Running, encode
from metering.call import Call

# No speaker goes on for longer; what is longer all the same is charged as OpenAI reports it.
ITEM_MOST_MS = 10 * 60 * 1000
FAILED_STATUS = 502

_PREFIX = "conversation.item.input_audio_transcription."


class Transcripts:
    """The transcripts of one session."""

    def __init__(self, talk: BaseTalk) -> None:
        self._talk = talk
        self._ready: Running | None = None
        self._of_item: dict[str, Running] = {}

    async def get_ready(self, transcript: tuple[str, int] | None) -> None:
        """Hold what the next item may cost, where one will be written down."""
        if transcript is not None and self._ready is None:
            self._ready = await self._talk.begin(call_of(transcript), may_fit=False)

    def take(self, kind: str, item: Any, frame: bytes) -> None:
        """
        What a frame of OpenAI's says of transcripts; most say nothing.

        Raises:
            SessionEnds: It has written down what nothing was held for.
        """
        if kind == "input_audio_buffer.committed":
            if self._ready is not None and isinstance(item, str):
                self._of_item[item], self._ready = self._ready, None
                self._talk.under_way(self._of_item[item])
        elif kind == _PREFIX + "completed":
            self._settle(self._taken(item), frame)
        elif kind == _PREFIX + "failed" and item in self._of_item:
            self._talk.unused(self._of_item.pop(item), FAILED_STATUS)

    def _taken(self, item: Any) -> Running:
        begun = self._of_item.pop(item, None) if isinstance(item, str) else None
        if begun is None:
            begun, self._ready = self._ready, None
            if begun is None:
                raise broken("the upstream transcribes what nobody asked for")
            self._talk.under_way(begun)
        return begun

    def _settle(self, begun: Running, frame: bytes) -> None:
        assert begun.metered.reader is not None
        self._talk.line.calls.seen(begun.metered)
        begun.metered.reader.feed(frame)
        self._talk.over(begun)


def call_of(transcript: tuple[str, int]) -> Call:
    """The call that writes down one item."""
    model, prompt_bytes = transcript
    fields = {"milliseconds": ITEM_MOST_MS, "prompt_bytes": prompt_bytes}
    return Call("realtime.transcripts", model, fields, streams=True, body_bytes=len(encode(fields)))
