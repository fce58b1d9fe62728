"""
The fields of a completion of the older kind, which has a prompt in place of messages.

The list is that of the official SDK (openai 3.54, `completion_create_params`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metering.chat.checks import (
    Check,
    boolean,
    number,
    read_known,
    shallow,
    stream_options,
    string,
    whole,
)
from metering.errors import BodyNotUnderstood
from metering.text_or_ids import text_or_ids

MOST_CHOICES = 128
MOST_BEST_OF = 20
MOST_OUTPUT_TOKENS = 2**31
MOST_PROMPTS = 2048
MOST_IDS = 2**20


def read_fields(fields: Mapping[str, Any]) -> None:
    """
    Check every field of a completion.

    Raises:
        BodyNotUnderstood: A field is not what OpenAI documents.
        CostNotBounded: A field is not known to us.
    """
    read_known(fields, _FIELDS, "a completion")
    n, best_of = fields.get("n") or 1, fields.get("best_of")
    if best_of is not None and best_of < n:
        raise BodyNotUnderstood(
            f"best_of is {best_of} and n is {n}; best_of must not be below n", "best_of"
        )


_FIELDS: dict[str, Check] = {
    "best_of": whole(1, MOST_BEST_OF),
    "echo": boolean,
    "frequency_penalty": number(-2, 2),
    "logit_bias": shallow,
    "logprobs": whole(0, 5),
    # With `echo` a caller may want the prompt's own probabilities and nothing more.
    "max_tokens": whole(0, MOST_OUTPUT_TOKENS),
    "model": string,
    "n": whole(1, MOST_CHOICES),
    "presence_penalty": number(-2, 2),
    "prompt": text_or_ids(most_items=MOST_PROMPTS, most_ids=MOST_IDS),
    "seed": whole(-(2**63), 2**63 - 1),
    "stop": shallow,
    "stream": boolean,
    "stream_options": stream_options,
    "suffix": string,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "user": string,
}
