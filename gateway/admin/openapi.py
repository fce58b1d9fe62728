"""
GET /admin/openapi.json: the admin API as OpenAPI 3.1, made from its routes, forms and replies.

Each operation is described where it is written (`described.py`). The document is served
behind the token like everything else, and no page that would show it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from inspect import getdoc
from typing import Any, TypeAlias

from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from gateway import __version__
from gateway.admin.asking import PAGE_DEFAULT, PAGE_MAX
from gateway.admin.described import Described, answers, described
from gateway.admin.desk import Desk
from gateway.admin.forms import Form
from gateway.admin.replies import Document, Error

Shown: TypeAlias = dict[str, Any]

REF = "#/components/schemas/{model}"

ID: Shown = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "maxLength": 200},
}
LIMIT: Shown = {
    "name": "limit",
    "in": "query",
    "description": "How many of them at the most.",
    "schema": {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
}
AFTER: Shown = {
    "name": "after",
    "in": "query",
    "description": "The `next` of the page before.",
    "schema": {"type": "string", "format": "uuid"},
}
USER: Shown = {
    "name": "X-Admin-User",
    "in": "header",
    "description": "Who of the admins it is, for the audit log.",
    "schema": {"type": "string", "pattern": r"^[!-~]([ -~]{0,98}[!-~])?$"},
}
ONCE: Shown = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body brings the first answer again.",
    "schema": {"type": "string", "pattern": r"^[!-~]{1,255}$"},
}


class OpenApi:
    """What there is to ask."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """The path under which this noun is found."""
        return [Route("/admin/openapi.json", self.one, methods=["GET"])]

    @answers(Document)
    async def one(self, request: Request) -> JSONResponse:
        """This document."""
        return JSONResponse(document(request.app.routes))


def document(routes: Iterable[BaseRoute]) -> Shown:
    """The OpenAPI document of these routes; those that are not described are left out."""
    told = list(_told(routes))
    models = {one.reply for _, _, one in told} | {Error}
    models |= {one.form for _, _, one in told if one.form is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    names, schemas = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=REF
    )
    refs = {model: schema for (model, _), schema in names.items()}
    paths: dict[str, Shown] = {}
    for method, route, one in told:
        paths.setdefault(route.path, {})[method.lower()] = _operation(route, one, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Credit gateway, admin API",
            "version": __version__,
            "description": "Amounts are decimal strings, times are UTC, ids are UUIDs.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _used(schemas["$defs"]),
        },
    }


def _told(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, Route, Described]]:
    for route in routes:
        one = described(route) if isinstance(route, Route) else None
        if isinstance(route, Route) and one is not None:
            # Starlette adds HEAD to each GET.
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield method, route, one


def _operation(route: Route, one: Described, refs: dict[Any, Shown]) -> Shown:
    noun, _, verb = route.endpoint.__qualname__.rpartition(".")
    summary, _, more = (getdoc(route.endpoint) or "").partition("\n\n")
    operation: Shown = {
        "operationId": f"{_snake(noun)}_{verb}",
        "tags": [noun],
        "summary": summary,
        "parameters": _parameters(route.path, one),
        "responses": {
            str(one.status): _response(HTTPStatus(one.status).phrase, refs[one.reply]),
            **{
                str(status): _response(HTTPStatus(status).phrase, refs[Error])
                for status in sorted(one.refusals(route.path))
            },
        },
    }
    if more:
        operation["description"] = more
    if one.form is not None:
        needed = any(field.is_required() for field in one.form.model_fields.values())
        operation["requestBody"] = {"required": needed, "content": _json(refs[one.form])}
    return operation


def _parameters(path: str, one: Described) -> list[Shown]:
    found = [ID] if "{id}" in path else []
    found += [LIMIT, AFTER] if one.lists else []
    found += _query(one.asks) if one.asks is not None else []
    found += [ONCE] if one.once else []
    return [*found, USER]


def _query(form: type[Form]) -> list[Shown]:
    """The fields of a form as parameters; what may be absent is never null in a query."""
    schema = form.model_json_schema()
    needed = schema.get("required", [])
    found = []
    for name, field in schema["properties"].items():
        kinds = [kind for kind in field.pop("anyOf", [{}]) if kind.get("type") != "null"]
        told = {**kinds[0], **field}
        told = {key: value for key, value in told.items() if key != "title" and value is not None}
        found.append({"name": name, "in": "query", "required": name in needed, "schema": told})
    return found


def _response(text: str, schema: Shown) -> Shown:
    return {"description": text, "content": _json(schema)}


def _json(schema: Shown) -> Shown:
    return {"application/json": {"schema": schema}}


def _used(schemas: Shown) -> Shown:
    """Without what stands behind a form's amounts: there they are text."""
    return {name: schema for name, schema in schemas.items() if name != "Credits"}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
