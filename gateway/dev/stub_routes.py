"""What the stub OpenAI answers beside chat completions and models: one line an operation."""

from __future__ import annotations

from gateway.dev import stub_audio, stub_images, stub_responses
from gateway.dev.stub_asked import Answer
from gateway.dev.stub_completions import completions
from gateway.dev.stub_embeddings import embeddings
from gateway.dev.stub_moderations import moderations
from gateway.dev.stub_ws import Session
from gateway.dev.stub_ws_realtime import RealtimeSession
from gateway.dev.stub_ws_responses import ResponsesSession

ROUTES: dict[tuple[str, str], Answer] = {
    ("POST", "/v1/responses"): stub_responses.create,
    ("POST", "/v1/responses/compact"): stub_responses.compact,
    ("POST", "/v1/responses/input_tokens"): stub_responses.count,
    ("POST", "/v1/completions"): completions,
    ("POST", "/v1/embeddings"): embeddings,
    ("POST", "/v1/moderations"): moderations,
    **stub_audio.ROUTES,
    **stub_images.ROUTES,
}
"""(method, path) → who answers it."""

SOCKETS: dict[str, type[Session]] = {
    "/v1/realtime": RealtimeSession,
    "/v1/responses": ResponsesSession,
}
"""Path → the session of a websocket."""
