"""
How many tokens a picture is, by its model, size and quality; where it is not known, at the most.

Sources: OpenAI's guide to image generation for the table of gpt-image-1 (and -1-mini, -1.5);
for gpt-image-2 the formula of the calculator on that page, as written down in OpenAI's
community (topic 1382699, June 2026; it gives the published 7024 for 1024x1024 at high
quality). For later models nothing is published: they are bounded by a multiple of gpt-image-2.
"""

from __future__ import annotations

import re

from metering.errors import CostNotBounded

# quality → tokens of 1024x1024, 1024x1536 and 1536x1024
_TABLE = {
    "low": {"1024x1024": 272, "1024x1536": 408, "1536x1024": 400},
    "medium": {"1024x1024": 1056, "1024x1536": 1584, "1536x1024": 1568},
    "high": {"1024x1024": 4160, "1024x1536": 6240, "1536x1024": 6208},
}
_WITH_TABLE = re.compile(r"gpt-image-1(-mini|\.5)?(-\d{4}-\d{2}-\d{2})?")
_WITH_FORMULA = re.compile(r"gpt-image-2(-\d{4}-\d{2}-\d{2})?")

# Patches along the longer edge.
_PATCHES = {"low": 16, "medium": 48, "high": 96}
_OFFSET_PIXELS, _SCALE = 2_000_000, 4_000_000
MOST_PIXELS = 3840 * 2160

# Of models later than gpt-image-2, for which nothing is published, a picture is bounded by
# twice the tokens of that one; and as `auto` may choose xhigh or max there, by as many patches
# as twice the longer edge has at high quality, which are four times the tokens.
_LATER_TIMES = 2
_LATER_AUTO_PATCHES = 192

PARTIAL_TOKENS = 100  # Each partial image; the same guide, "Partial images cost".

# An input image with input_fidelity high: 65 + 129 for each of at most 4 tiles of 512 pixels,
# and 6240 more for a picture that is not square (the same guide). gpt-image-2 and later
# always read so, some of them larger pictures, for which twice that is taken.
_INPUT_TOKENS = 65 + 4 * 129 + 6240

_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


def output_tokens(model: str, size: str, quality: str) -> int:
    """
    The image tokens of one picture, at the most.

    Args:
        size: `WIDTHxHEIGHT` or "auto".
        quality: Of OpenAI's names; "auto" is the dearest that the model may choose.

    Raises:
        CostNotBounded: Nothing is known of this quality.
    """
    if quality not in ("auto", *_PATCHES):
        raise CostNotBounded("quality", f"no count of tokens is published for {quality[:20]!r}")
    if _WITH_TABLE.fullmatch(model):
        row = _TABLE["high" if quality == "auto" else quality]
        return row.get(size, max(row.values()))
    known = bool(_WITH_FORMULA.fullmatch(model))
    if quality == "auto":
        return _by_formula(_PATCHES["high"] if known else _LATER_AUTO_PATCHES, size)
    return _by_formula(_PATCHES[quality], size) * (1 if known else _LATER_TIMES)


def input_tokens(model: str) -> int:
    """The image tokens of one picture that is read, at the most."""
    return _INPUT_TOKENS * (1 if _WITH_TABLE.fullmatch(model) else 2)


def is_size(size: str) -> bool:
    """Whether it is a size, and not larger than any model makes."""
    found = _SIZE.fullmatch(size)
    return size == "auto" or (found is not None and int(found[1]) * int(found[2]) <= MOST_PIXELS)


def _by_formula(patches: int, size: str) -> int:
    found = _SIZE.fullmatch(size)
    if found is None:
        # A square of the most pixels has more patches than any picture that is allowed.
        across, pixels = patches, MOST_PIXELS
    else:
        short, long = sorted((int(found[1]), int(found[2])))
        across = (2 * patches * short + long) // (2 * long)
        pixels = short * long
    return -(-patches * across * (_OFFSET_PIXELS + pixels) // _SCALE)
