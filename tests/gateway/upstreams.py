"""Upstreams to test with: one for any address, one whose transport is a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2

from gateway.upstream import Upstream

KEY = "sk-canary-4b1d6a"
CALL = b'{"model":"gpt-6-sol","messages":[{"role":"user","content":"hello"}]}'
STREAM = CALL[:-1] + b',"stream":true}'


def an_upstream(base_url: str, **changes: Any) -> Upstream:
    """An upstream with our key, patient unless `changes` say otherwise."""
    times = {"connect_timeout_s": 10, "first_byte_timeout_s": 10, "total_timeout_s": 20}
    return Upstream(base_url, KEY, **{"max_connections": 10, **times, **changes})


def answering(answer: Callable[[httpx2.Request], httpx2.Response]) -> Upstream:
    """An upstream whose transport is a function."""
    return an_upstream("http://openai.test/v1", transport=httpx2.MockTransport(answer))
