"""What the stub OpenAI answers beside chat completions and models: one line an operation."""

from __future__ import annotations

from gateway.dev import stub_audio, stub_images
from gateway.dev.stub_asked import Answer

ROUTES: dict[tuple[str, str], Answer] = {**stub_audio.ROUTES, **stub_images.ROUTES}
"""(method, path) → who answers it."""
