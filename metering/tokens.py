"""
Text → how many tokens OpenAI would count.

The encodings are shipped with the package (`encodings/README.md` says where they come
from), so nothing is downloaded and nothing is written. Loading one takes a third of a
second and counting takes time in proportion to the text: both block, so callers on an
event loop do it in a thread.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from threading import Lock

import tiktoken

# SHA-256 of the unpacked files, as tiktoken itself expects them.
_DIGESTS = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}

# How OpenAI cuts text into words before it looks for tokens; from tiktoken's own table.
_PATTERNS = {
    "o200k_base": "|".join(
        (
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        )
    ),
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
}

# A word of 1 MB takes 0.7 s to encode and the time grows faster than its length; a piece
# of this many characters takes at most 4 ms.
MOST_CHARACTERS = 16_384

# A cut in the middle of a word may, rarely, save a token or two; a word of 16,384
# characters that is cut costs this many more, so that a cut can only over-count.
CUT_TOKENS = 16

_encodings: dict[str, tiktoken.Encoding] = {}
_loading = Lock()


def count(text: str, encoding: str) -> int:
    """
    The tokens of a text; text that looks like a control token is counted as plain text.

    A text longer than `MOST_CHARACTERS` is counted in pieces. They are cut before a space
    that follows a visible ASCII character, where the encoding cuts too, so nothing changes;
    a piece that has no such space is cut hard and counts `CUT_TOKENS` more.
    """
    loaded = _encoding(encoding)
    if len(text) <= MOST_CHARACTERS:
        return len(loaded.encode_ordinary(text))
    return sum(
        len(loaded.encode_ordinary(piece)) + (CUT_TOKENS if hard else 0)
        for piece, hard in _pieces(text)
    )


def encoding_for(model: str) -> str:
    """
    The encoding of a model that is on no rate card, by its name.

    tiktoken knows none of the models since gpt-6 and is wrong about fine-tuned gpt-4.1.
    """
    name = model.removeprefix("ft:")
    newer = name.startswith(("gpt-4o", "gpt-4.", "chatgpt-4o"))
    older = name.startswith(("gpt-4", "gpt-3.5", "text-embedding-"))
    return "cl100k_base" if older and not newer else "o200k_base"


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    start = 0
    while len(text) - start > MOST_CHARACTERS:
        end = _cut(text, start)
        yield text[start : end or start + MOST_CHARACTERS], end is None
        start = end or start + MOST_CHARACTERS
    yield text[start:], False


def _cut(text: str, start: int) -> int | None:
    """The last place to cut within reach at which the encoding cuts too."""
    end = start + MOST_CHARACTERS
    while (end := text.rfind(" ", start + 1, end)) > 0:
        if "!" <= text[end - 1] <= "~":
            return end
    return None


def _encoding(name: str) -> tiktoken.Encoding:
    found = _encodings.get(name)
    if found is None:
        with _loading:
            found = _encodings.get(name) or _load(name)
            _encodings[name] = found
    return found


def _load(name: str) -> tiktoken.Encoding:
    packed = files("metering").joinpath("encodings", f"{name}.tiktoken.gz").read_bytes()
    lines = gzip.decompress(packed)
    assert hashlib.sha256(lines).hexdigest() == _DIGESTS[name], f"{name} is not the real file"
    ranks = {
        base64.b64decode(token): int(rank)
        for token, rank in (line.split() for line in lines.splitlines())
    }
    # No special tokens: a caller's text is never read as one.
    return tiktoken.Encoding(
        name, pat_str=_PATTERNS[name], mergeable_ranks=ranks, special_tokens={}
    )
