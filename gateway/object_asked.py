"""What is asked of an object: the query, the body and the ids in both, all of them checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from gateway.errors import RequestRefused
from gateway.form import is_form, read_form, write_form
from gateway.objects import PARENT_IS_ENOUGH, ObjectOperation, kind_of
from gateway.read_call import Headers, decoded
from gateway.references import Named, References, fields_of_form, references_in
from metering.errors import CostNotBounded

MOST_QUERY_FIELDS = 20
_FILE_FIELDS = frozenset({"file", "data"})


@dataclass(frozen=True, slots=True)
class ObjectAsked:
    """
    An operation as it was asked for, ready to be forwarded once its ids are owned.

    Attributes:
        path: Built from the template.
        query: Name and value, all of them known; in the order in which they came.
        references: Every id in the path and the body.
    """

    operation: ObjectOperation
    ids: dict[str, str]
    query: list[tuple[str, str]]
    body: bytes = b""
    content_type: bytes | None = None
    references: References = field(default_factory=References)
    fields: dict[str, Any] | None = None

    @property
    def path(self) -> str:
        return self.operation.path_of(self.ids)

    @property
    def query_string(self) -> str:
        """The query as it is sent on."""
        return urlencode(self.query, quote_via=quote)

    @property
    def target(self) -> str | None:
        """The id of the object that the path is about."""
        return next(iter(self.ids.values()), None)

    def packed(self) -> bytes:
        """The body to forward; a JSON one is written after its ids were judged."""
        return self.body if self.fields is None else msgspec.json.encode(self.fields)


def read_query(operation: ObjectOperation, query: bytes) -> list[tuple[str, str]]:
    """
    The query, when OpenAI documents every name in it.

    Raises:
        RequestRefused: It has another name, one of them twice, or is no query.
    """
    try:
        found = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            max_num_fields=MOST_QUERY_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise RequestRefused("the query is not understood") from None
    names = [name for name, _ in found if not name.endswith("[]")]
    for name, value in found:
        if name not in operation.query or names.count(name) > 1:
            known = ", ".join(sorted(operation.query)) or "no query"
            raise RequestRefused(
                f"{name[:64]!r} is not for this query, or is there twice; it may have: {known}",
                param=name[:64],
            )
        if not value.isprintable() or len(value) > 256:
            raise RequestRefused("a value of the query is not printable", param=name)
    return found


def read_asked(
    operation: ObjectOperation, ids: dict[str, str], query: bytes, headers: Headers, body: bytes
) -> ObjectAsked:
    """
    What was asked for.

    Raises:
        RequestRefused, CostNotBounded: Something of it is not known to us.
    """
    named = [
        Named(id, kind_of(parameter), "")
        for parameter, id in ids.items()
        if parameter not in PARENT_IS_ENOUGH
    ]
    asked = ObjectAsked(operation, ids, read_query(operation, query), references=References(named))
    if operation.fields is None:
        return asked  # A body would mean nothing; clients send an empty one, or `{}`.
    content_type = dict(headers).get(b"content-type", b"")
    if is_form(content_type):
        return _with_form(asked, content_type, body)
    return _with_json(asked, body)


def _with_json(asked: ObjectAsked, body: bytes) -> ObjectAsked:
    fields = decoded(body) if body else {}
    if not isinstance(fields, dict):
        raise RequestRefused("the body is not a JSON object")
    _all_known(asked.operation, list(fields))
    if asked.operation.form and "file" in fields:
        raise RequestRefused("a file is sent as multipart/form-data", param="file")
    return _with(asked, references_in(fields), fields=fields, content_type=b"application/json")


def _with_form(asked: ObjectAsked, content_type: bytes, body: bytes) -> ObjectAsked:
    if not asked.operation.form:
        raise RequestRefused("the body must be JSON here")
    parts = read_form(content_type, body)
    names = [part.name for part in parts]
    _all_known(asked.operation, names)
    if len(set(names)) < len(names):
        raise RequestRefused("a field of the form is there twice")
    for part in parts:
        # With an empty filename it is a file to one reader and a text, such as an id, to another.
        if part.filename is not None and part.name not in _FILE_FIELDS:
            raise RequestRefused(f"{part.name} is a text; send it without a filename")
    texts = [(part.name, part.text) for part in parts if part.filename is None]
    content_type, body = write_form(parts)
    found = references_in(fields_of_form(texts))
    return _with(asked, found, body=body, content_type=content_type)


def _all_known(operation: ObjectOperation, names: list[str]) -> None:
    for name in names:
        if operation.fields is None or name not in operation.fields:
            raise CostNotBounded(name[:64], f"is not a field of {operation.name} that we know")


def _with(asked: ObjectAsked, found: References, **more: Any) -> ObjectAsked:
    references = References([*asked.references.named, *found.named], found.echoed)
    return ObjectAsked(asked.operation, asked.ids, asked.query, references=references, **more)
