"""The meter of `POST /v1/audio/transcriptions` and `/translations`."""

from __future__ import annotations

import re

from metering.audio.transcription_fields import read_fields, speakers, text_bytes
from metering.audio.transcription_reply import AUDIO_TOKENS_PER_S, Heard, TranscriptionReader
from metering.audio.uploaded import Length, length_of
from metering.call import Call
from metering.errors import CostNotBounded
from metering.meters.meter import FRAMING_TOKENS, Ceiling, PlainMeter
from metering.prices import DEFAULT_TIER, ModelRow
from metering.tokens import count
from metering.usage import Unit, Usage

# OpenAI refuses a longer sound for these models ("audio duration … is longer than 1500 seconds").
_LIMITED = re.compile(r"gpt-4o-(mini-)?transcribe.*")
LIMIT_MS = 1_500_000

SPEAKER_MS = 10_000  # The longest sample of a voice that is to be recognised.

# Twice what is documented: sound that is cut into chunks may be read twice where they meet.
MOST_AUDIO_TOKENS_PER_S = 2 * AUDIO_TOKENS_PER_S
# Nobody speaks more than six words a second, which are below ten tokens.
MOST_OUTPUT_TOKENS_PER_S = 10


class Transcriptions(PlainMeter):
    """
    Bounds a transcription by the length of its sound, and reads its reply.

    Args:
        kind: "transcriptions" or "translations".
    """

    family = "transcriptions"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def read(self, call: Call) -> None:
        """
        Check every field that can cost.

        Raises:
            BodyNotUnderstood: A field is not what OpenAI documents.
            CostNotBounded: A part is not known, or may cost more than the file tells.
        """
        read_fields(call, self._kind)

    def ceiling(self, call: Call, row: ModelRow, *, output_limit: int) -> Ceiling:
        """
        The most this call can use; reads the file, and blocks.

        Raises:
            CostNotBounded: The row prices neither time nor tokens.
        """
        length = self._length(call, row)
        priced = row.tiers[DEFAULT_TIER]
        if Unit.AUDIO_MILLISECONDS in priced:
            # Whole seconds are billed, and one more where OpenAI's decoder rounds otherwise.
            whole = -(-length.most // 1000) * 1000 + 1000
            return Ceiling(others=Usage({Unit.AUDIO_MILLISECONDS: whole}))
        if not {Unit.INPUT, Unit.AUDIO_INPUT, Unit.OUTPUT} <= priced.keys():
            raise CostNotBounded("model", f"{row.id} has no price for sound")
        sound = length.most + speakers(call) * SPEAKER_MS
        spoken = -(-length.most * MOST_OUTPUT_TOKENS_PER_S // 1000)
        return Ceiling(
            input_tokens=text_bytes(call) + FRAMING_TOKENS,
            others=Usage(
                {
                    Unit.AUDIO_INPUT: -(-sound * MOST_AUDIO_TOKENS_PER_S // 1000) + FRAMING_TOKENS,
                    Unit.OUTPUT: max(row.max_output, spoken),
                }
            ),
        )

    def count_input(self, call: Call, row: ModelRow) -> int:
        """An upper bound of the text tokens, tighter than by bytes; blocks."""
        if Unit.AUDIO_MILLISECONDS in row.tiers[DEFAULT_TIER]:
            return 0
        return text_bytes(call) + FRAMING_TOKENS

    def unseen(self, call: Call, row: ModelRow) -> Usage:
        """The sound, as it was measured; blocks."""
        milliseconds = self._length(call, row).measured
        if Unit.AUDIO_MILLISECONDS in row.tiers[DEFAULT_TIER]:
            return Usage({Unit.AUDIO_MILLISECONDS: -(-milliseconds // 1000) * 1000})
        prompt = str(call.fields.get("prompt", ""))
        return Usage(
            {
                Unit.INPUT: count(prompt, row.encoding),
                Unit.AUDIO_INPUT: -(-milliseconds * AUDIO_TOKENS_PER_S // 1000),
            }
        )

    def reader(self, call: Call, row: ModelRow, *, asked_for_usage: bool) -> TranscriptionReader:
        """A reader for the reply of this call."""
        heard = Heard(self._length(call, row).measured, str(call.fields.get("prompt", "")))
        return TranscriptionReader(heard, row)

    def _length(self, call: Call, row: ModelRow) -> Length:
        length: Length | None = call.lengths
        if length is None:
            (file,) = call.files
            length = call.lengths = length_of(file)
        if _LIMITED.fullmatch(row.id):
            return Length(min(length.most, LIMIT_MS), min(length.measured, LIMIT_MS))
        return length
