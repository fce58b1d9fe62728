"""
Heard: how much a realtime conversation may hold, by what was sent and what was answered.

A response reads the whole conversation, so its input is bounded by all that ever went into
it, or by the model's own input where that cannot be told (an image, an MCP server's answer).
"""

from __future__ import annotations

from dataclasses import dataclass

# Audio is a token for each 100 ms (OpenAI's guide to costs, read on 2026-11-22), which is 800
# bytes of the tightest format, G.711; half of that is a bound with room for a finer model.
AUDIO_BYTES_A_TOKEN = 400

# What it is about: 4 bytes of text, 4,800 of PCM, a token of output as it was counted.
_TEXT_BYTES_ABOUT = 4
_AUDIO_BYTES_ABOUT = 4800


@dataclass(slots=True)
class Heard:
    """
    What is in a conversation.

    Attributes:
        text_bytes: Of all frames that put something into it, audio apart.
        audio_bytes: As they were before base64.
        output_tokens: Of all responses so far.
        is_open: It holds something whose tokens are not known.
    """

    text_bytes: int = 0
    audio_bytes: int = 0
    output_tokens: int = 0
    is_open: bool = False

    def add_text(self, size: int) -> None:
        """A frame of so many bytes."""
        self.text_bytes += size

    def add_audio(self, base64_length: int) -> None:
        """Audio that is so long in base64."""
        self.audio_bytes += base64_length * 3 // 4 + 1

    @property
    def most_tokens(self) -> int | None:
        """The most it can be as input; None where only the model's own limit is a bound."""
        if self.is_open:
            return None
        audio = -(-self.audio_bytes // AUDIO_BYTES_A_TOKEN)
        return self.text_bytes + audio + self.output_tokens

    @property
    def about(self) -> tuple[int, int]:
        """About how many tokens of text and of audio it is, when a usage never comes."""
        text = self.text_bytes // _TEXT_BYTES_ABOUT + self.output_tokens
        return text, self.audio_bytes // _AUDIO_BYTES_ABOUT
