"""`POST /v1/moderations` of the stub OpenAI: nothing is flagged, and nothing is billed."""

from __future__ import annotations

import json
import secrets
from typing import Any

from gateway.dev.stub_asked import Asked
from gateway.dev.stub_json import answer_json, script_of
from gateway.dev.stub_refused import Refused, read_object, unknown_model

DEFAULT_MODEL = "omni-moderation-latest"
CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


async def moderations(asked: Asked) -> None:
    """Answer one call."""
    fields = {"model": DEFAULT_MODEL} | json.loads(asked.request.body or b"{}")
    fields = read_object(json.dumps(fields).encode())
    model = fields["model"]
    if not model.startswith(("omni-moderation-", "text-moderation-")):
        raise unknown_model(model)
    given = fields.get("input")
    if not given:
        raise Refused(400, "Missing required parameter: 'input'.", param="input")
    script = script_of(asked, given)
    # A list of texts has a result for each of them; parts are judged together.
    texts = isinstance(given, list) and all(isinstance(one, str) for one in given)
    body = {
        "id": f"modr-{secrets.token_hex(12)}",
        "model": script.model or model,
        "results": [_result() for _ in range(len(given) if texts else 1)],
    }
    await answer_json(asked, script, body=json.dumps(body).encode(), bill=lambda cut: None)


def _result() -> dict[str, Any]:
    return {
        "flagged": False,
        "categories": dict.fromkeys(CATEGORIES, False),
        "category_scores": dict.fromkeys(CATEGORIES, 0.0001),
        "category_applied_input_types": {category: ["text"] for category in CATEGORIES},
    }
