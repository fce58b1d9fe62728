"""Calls of /v1/responses in a house, and what their replies say."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import httpx2

from tests.house import MODEL, Acme, House

SEARCH = [{"type": "web_search"}]


def body(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "input": "Hello"} | fields


async def ask(acme: Acme, path: str = "/v1/responses", **fields: Any) -> httpx2.Response:
    return await acme.house.client.post(path, json=body(**fields), headers=acme.headers)


def stream(acme: Acme, **fields: Any) -> AbstractAsyncContextManager[httpx2.Response]:
    return acme.house.client.stream(
        "POST", "/v1/responses", json=body(stream=True, **fields), headers=acme.headers
    )


def events_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def switch_on(house: House, *switches: str) -> None:
    """As if it were switched on for every business."""
    intake = house.parts.doors._proxy._intake
    authenticate = intake._authenticate

    async def allowing(headers: Any) -> Any:
        return replace(await authenticate(headers), switches=frozenset(switches))

    intake._authenticate = allowing  # type: ignore[assignment]
