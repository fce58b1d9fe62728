"""Random bodies of calls: what an app may send, and what somebody may try."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.metering.chat.parts import file, image, image_at, mp3, speech, user, wav

WORDS = (
    "a", "the quick brown fox", "é", "你好", "🙂" * 3, "<|endoftext|>", "\\\n\t\"", "x" * 40, "",
    "0123456789", "\u0000", "ﷺ", " " * 30, "def f(x):\n\treturn x", "Ⅷ", "Zażółć gęślą jaźń",
)  # fmt: skip
TINY_WAVS = [
    wav(0.2),
    wav(3, rate=4_000, bits=8),
    wav(1, rate=48_000, channels=2, bits=24),
    mp3(30),
    mp3(20, header=b"\xff\xe3\x18\x00", length=72),
]


def some_text(random: Random) -> str:
    return " ".join(random.choice(WORDS) for _ in range(random.randrange(12)))


def chat(random: Random) -> dict[str, Any]:
    """A chat completion of any kind that may be served."""
    messages = [_message(random) for _ in range(random.randrange(1, 5))]
    body: dict[str, Any] = {"messages": messages}
    for name, values in _CHAT.items():
        if random.random() < 0.25:
            body[name] = random.choice(values)
    if random.random() < 0.2:
        body |= {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
    if random.random() < 0.2:
        body["prediction"] = {"type": "content", "content": some_text(random)}
    return body


_CHAT: dict[str, list[Any]] = {
    "n": [1, 2, 7, 128],
    "max_tokens": [1, 100, 10**6],
    "service_tier": ["auto", "default", "flex", "priority", "fast"],
    "stream": [True, False],
    "store": [True, False, None],
    "web_search_options": [{}, {"search_context_size": "high"}],
    "tools": [[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]],
    "response_format": [{"type": "json_object"}],
    "metadata": [{"feature": "x"}],
    "stop": ["\n", None],
}


def _message(random: Random) -> dict[str, Any]:
    role = random.choice(["user", "system", "assistant", "developer"])
    message: dict[str, Any] = {"role": role, "content": some_text(random)}
    if random.random() < 0.2:
        message["name"] = random.choice(["ama", "é" * 5])
    if random.random() < 0.4:
        parts = [_part(random) for _ in range(random.randrange(1, 4))]
        message["content"] = user(*parts)[0]["content"]
    return message


def _part(random: Random) -> dict[str, Any]:
    kind = random.randrange(7)
    if kind < 2:
        return image(detail=random.choice(["auto", "low", "high", "original"]))
    if kind == 2:
        return image(random.randbytes(random.randrange(3_000)))
    if kind == 3:
        return speech(random.choice(TINY_WAVS))
    if kind == 4:
        return file(some_text(random).encode(), random.choice(["text/plain", "application/pdf"]))
    if kind == 5:
        return random.choice([image_at(), {"type": "file", "file": {"file_id": "file-1"}}])
    return {"type": "text", "text": some_text(random)}


def text_or_ids(random: Random) -> Any:
    kind = random.randrange(4)
    if kind == 0:
        return some_text(random) or "x"
    if kind == 1:
        return [some_text(random) or "x" for _ in range(random.randrange(1, 30))]
    if kind == 2:
        return [random.randrange(100_000) for _ in range(random.randrange(1, 300))]
    return [[random.randrange(9)] * random.randrange(1, 50) for _ in range(random.randrange(1, 9))]


def completion(random: Random) -> dict[str, Any]:
    """A completion of the older kind."""
    body: dict[str, Any] = {"prompt": text_or_ids(random)} if random.random() < 0.95 else {}
    for name, values in _COMPLETION.items():
        if random.random() < 0.3:
            body[name] = random.choice(values)
    return body


_COMPLETION: dict[str, list[Any]] = {
    "n": [1, 2, 5],
    "best_of": [5, 20, None],
    "max_tokens": [0, 1, 15, 16, 500, 10**6],
    "echo": [True, False],
    "suffix": ["the end", "é" * 20],
    "stream": [True, False],
    "logprobs": [5],
    "stop": ["\n"],
}


def embedding(random: Random) -> dict[str, Any]:
    """An embeddings call."""
    return {"input": text_or_ids(random)}
