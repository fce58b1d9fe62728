"""GET /v1/models and /v1/models/{model}: what is priced and what this key may use."""

from __future__ import annotations

from typing import Any

from gateway.errors import ModelUnknown
from metering.rates import ModelRow, RateCard
from metering.tariff import Tariff
from storage.keys import KeyHolder


def list_models(holder: KeyHolder, *, card: RateCard, tariff: Tariff) -> dict[str, Any]:
    """Every model this key may call, in OpenAI's shape."""
    rows = sorted(card.models.values(), key=lambda row: row.id)
    data = [_shown(row, row.id) for row in rows if _may_use(holder, row, row.id, tariff)]
    return {"object": "list", "data": data}


def show_model(model: str, holder: KeyHolder, *, card: RateCard, tariff: Tariff) -> dict[str, Any]:
    """
    One model, by its id or an alias.

    Raises:
        ModelUnknown: It is not priced, or not for this key.
    """
    for row in card.models.values():
        if model in (row.id, *row.aliases) and _may_use(holder, row, model, tariff):
            return _shown(row, model)
    raise ModelUnknown(
        f"the model {model!r} does not exist here or this key may not use it; "
        "GET /v1/models lists those it may",
        param="model",
    )


def _may_use(holder: KeyHolder, row: ModelRow, name: str, tariff: Tariff) -> bool:
    scoped = holder.scopes.models
    return tariff.allows(row.id) and (not scoped or row.id in scoped or name in scoped)


def _shown(row: ModelRow, name: str) -> dict[str, Any]:
    created = int(row.valid_from.timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": "openai"}
