"""The meter of `POST /v1/audio/speech`."""

from __future__ import annotations

from metering.audio.speech_fields import read_fields
from metering.audio.speech_reply import SpeechReader, audio_tokens, prompt_tokens
from metering.call import Call
from metering.errors import CostNotBounded
from metering.meters.meter import FRAMING_TOKENS, Ceiling, PlainMeter
from metering.prices import DEFAULT_TIER, ModelRow
from metering.usage import Unit, Usage

# OpenAI publishes no limit of how long speech may get. Speech has 15 letters a second; this is
# seven times as slow for every byte (a digit or a sign that is read as a word, a voice told to
# take its time), and half a minute for a text too short to say much of it.
MOST_MS_PER_BYTE = 500
MOST_MS_BESIDES = 30_000


class Speech(PlainMeter):
    """Bounds speech by its text: by its characters, or by how long it can take to say it."""

    family = "speech"

    def read(self, call: Call) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood: A field is not what OpenAI documents.
            CostNotBounded: A part is not known to us.
        """
        read_fields(call.fields)

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most this call can use; a model that is billed by the character uses exactly that.

        Raises:
            CostNotBounded: The row prices neither characters nor speech.
        """
        priced = row.tiers[DEFAULT_TIER]
        text = str(call.fields["input"])
        if Unit.CHARACTERS in priced:
            return Ceiling(others=Usage({Unit.CHARACTERS: len(text)}))
        if not {Unit.INPUT, Unit.AUDIO_OUTPUT} <= priced.keys():
            raise CostNotBounded("model", f"{row.id} has no price for speech")
        speed = min(1.0, call.fields.get("speed") or 1.0)
        milliseconds = MOST_MS_BESIDES + len(text.encode()) * MOST_MS_PER_BYTE
        return Ceiling(
            input_tokens=call.body_bytes + FRAMING_TOKENS,
            others=Usage({Unit.AUDIO_OUTPUT: audio_tokens(int(milliseconds / speed) + 1)}),
            output_unit=Unit.AUDIO_OUTPUT,
        )

    def count_input(self, call: Call, row: ModelRow) -> int:
        """An upper bound of the text tokens, tighter than by bytes; blocks."""
        if Unit.CHARACTERS in row.tiers[DEFAULT_TIER]:
            return 0
        return min(self._prompt(call, row), call.body_bytes) + FRAMING_TOKENS

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """The text; blocks. Of what was spoken nothing was seen."""
        if Unit.CHARACTERS in row.tiers[DEFAULT_TIER]:
            return Usage({Unit.CHARACTERS: len(str(call.fields["input"]))})
        return Usage({Unit.INPUT: self._prompt(call, row)})

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> SpeechReader:
        """A reader for the reply of this call."""
        return SpeechReader(call.fields, row)

    def _prompt(self, call: Call, row: ModelRow) -> int:
        instructions = str(call.fields.get("instructions") or "")
        return prompt_tokens(str(call.fields["input"]), instructions, row.encoding)
