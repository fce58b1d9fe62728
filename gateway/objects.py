"""
The table of operations on objects that OpenAI keeps: responses, files, vector stores, ….

None of them is charged. Each is for the owner of every object that it names, needs what is
switched on for the business, and is answered by OpenAI under a path built from its template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.endpoints import PREFIX

ID = r"[A-Za-z0-9_-]{1,128}"
"""No dot, no percent sign, no slash: an id can never be a part of another path."""

PARENT_IS_ENOUGH = frozenset({"item_id", "container_file_id"})
"""OpenAI finds these only below the object before them in the path, which must be owned."""

_KINDS = {
    "response_id": "response",
    "completion_id": "completion",
    "conversation_id": "conversation",
    "file_id": "file",
    "upload_id": "upload",
    "vector_store_id": "vector_store",
    "container_id": "container",
    "file_batch_id": "file_batch",
}

_PAGE = frozenset({"after", "limit", "order"})
_PAGES = _PAGE | {"before"}
_INCLUDE = frozenset({"include", "include[]"})


@dataclass(frozen=True, slots=True)
class ObjectOperation:
    """
    One operation on objects.

    Attributes:
        name: As in the scopes of a key and in the access log.
        path: Below /v1, with a name in braces for each id.
        switches: One of these must be on for the business.
        query: Names that may stand in the query; others are refused.
        fields: Of the body; None where no body is sent on.
        form: Whether the body may be multipart, with these fields.
        makes: The kind of the object that the reply names in `id`; "" where it makes none.
        lists: The kind that is listed, from our own table; "" where OpenAI may list, because
            all of it is below an object of the business.
        deletes: Whether the object is nobody's afterwards.
        json_reply: Whether the reply is a JSON object, to be read as a whole.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    switches: frozenset[str]
    query: frozenset[str] = frozenset()
    fields: frozenset[str] | None = None
    form: bool = False
    makes: str = ""
    lists: str = ""
    deletes: bool = False
    json_reply: bool = False

    def path_of(self, ids: dict[str, str]) -> str:
        """The path that OpenAI is asked for, built from the template."""
        return "/".join(
            ids[part[1:-1]] if part.startswith("{") else part for part in self.path.split("/")
        )


def kind_of(parameter: str) -> str:
    """What an id in a path names."""
    return _KINDS[parameter]


def _operations() -> Iterator[ObjectOperation]:
    for noun in (_responses, _completions, _conversations, _files, _vector_stores, _containers):
        yield from noun()


def _responses() -> Iterator[ObjectOperation]:
    on = frozenset({"stored", "background"})
    one = "/responses/{response_id}"
    seen = _INCLUDE | {"stream", "starting_after", "include_obfuscation"}
    yield ObjectOperation("responses.retrieve", "GET", one, on, seen)
    yield ObjectOperation("responses.delete", "DELETE", one, on, deletes=True)
    yield ObjectOperation("responses.cancel", "POST", f"{one}/cancel", on, json_reply=True)
    yield ObjectOperation(
        "responses.input_items", "GET", f"{one}/input_items", on, _PAGE | _INCLUDE
    )


def _completions() -> Iterator[ObjectOperation]:
    on = frozenset({"stored"})
    all_, one = "/chat/completions", "/chat/completions/{completion_id}"
    yield ObjectOperation(
        "chat.completions.list", "GET", all_, on, _PAGE | {"model"}, lists="completion"
    )
    yield ObjectOperation("chat.completions.retrieve", "GET", one, on)
    yield ObjectOperation(
        "chat.completions.update", "POST", one, on, fields=frozenset({"metadata"})
    )
    yield ObjectOperation("chat.completions.delete", "DELETE", one, on, deletes=True)
    yield ObjectOperation("chat.completions.messages", "GET", f"{one}/messages", on, _PAGE)


def _conversations() -> Iterator[ObjectOperation]:
    on = frozenset({"conversations"})
    one = "/conversations/{conversation_id}"
    items, item = f"{one}/items", f"{one}/items/{{item_id}}"
    metadata = frozenset({"metadata"})
    yield ObjectOperation(
        "conversations.create", "POST", "/conversations", on, makes="conversation",
        fields=metadata | {"items"},
    )  # fmt: skip
    yield ObjectOperation("conversations.retrieve", "GET", one, on)
    yield ObjectOperation("conversations.update", "POST", one, on, fields=metadata)
    yield ObjectOperation("conversations.delete", "DELETE", one, on, deletes=True)
    yield ObjectOperation("conversations.items.list", "GET", items, on, _PAGE | _INCLUDE)
    yield ObjectOperation(
        "conversations.items.create", "POST", items, on, _INCLUDE, frozenset({"items"})
    )
    yield ObjectOperation("conversations.items.retrieve", "GET", item, on, _INCLUDE)
    yield ObjectOperation("conversations.items.delete", "DELETE", item, on)


def _files() -> Iterator[ObjectOperation]:
    on = frozenset({"files"})
    one, upload = "/files/{file_id}", "/uploads/{upload_id}"
    expires = frozenset({"expires_after", "expires_after[anchor]", "expires_after[seconds]"})
    yield ObjectOperation(
        "files.create", "POST", "/files", on, makes="file", form=True,
        fields=frozenset({"file", "purpose"}) | expires,
    )  # fmt: skip
    yield ObjectOperation("files.list", "GET", "/files", on, _PAGE | {"purpose"}, lists="file")
    yield ObjectOperation("files.retrieve", "GET", one, on)
    yield ObjectOperation("files.delete", "DELETE", one, on, deletes=True)
    yield ObjectOperation("files.content", "GET", f"{one}/content", on)
    yield ObjectOperation(
        "uploads.create", "POST", "/uploads", on, makes="upload",
        fields=frozenset({"bytes", "filename", "mime_type", "purpose", "expires_after"}),
    )  # fmt: skip
    yield ObjectOperation(
        "uploads.parts", "POST", f"{upload}/parts", on, form=True, fields=frozenset({"data"})
    )
    yield ObjectOperation(
        "uploads.complete", "POST", f"{upload}/complete", on, makes="upload",
        fields=frozenset({"part_ids", "md5"}),
    )  # fmt: skip
    yield ObjectOperation("uploads.cancel", "POST", f"{upload}/cancel", on)


def _vector_stores() -> Iterator[ObjectOperation]:
    on = frozenset({"vector_stores"})
    all_, one = "/vector_stores", "/vector_stores/{vector_store_id}"
    files, file = f"{one}/files", f"{one}/files/{{file_id}}"
    batches, batch = f"{one}/file_batches", f"{one}/file_batches/{{file_batch_id}}"
    within = _PAGES | {"filter"}
    described = frozenset({"name", "expires_after", "metadata"})
    added = frozenset({"file_id", "attributes", "chunking_strategy"})
    yield ObjectOperation(
        "vector_stores.create", "POST", all_, on, makes="vector_store",
        fields=described | {"file_ids", "chunking_strategy", "description"},
    )  # fmt: skip
    yield ObjectOperation("vector_stores.list", "GET", all_, on, _PAGES, lists="vector_store")
    yield ObjectOperation("vector_stores.retrieve", "GET", one, on)
    yield ObjectOperation("vector_stores.update", "POST", one, on, fields=described)
    yield ObjectOperation("vector_stores.delete", "DELETE", one, on, deletes=True)
    yield ObjectOperation("vector_stores.files.create", "POST", files, on, fields=added)
    yield ObjectOperation("vector_stores.files.list", "GET", files, on, within)
    yield ObjectOperation("vector_stores.files.retrieve", "GET", file, on)
    yield ObjectOperation(
        "vector_stores.files.update", "POST", file, on, fields=frozenset({"attributes"})
    )
    yield ObjectOperation("vector_stores.files.delete", "DELETE", file, on)
    yield ObjectOperation("vector_stores.files.content", "GET", f"{file}/content", on)
    yield ObjectOperation(
        "vector_stores.file_batches.create", "POST", batches, on, makes="file_batch",
        fields=frozenset({"file_ids", "files", "attributes", "chunking_strategy"}),
    )  # fmt: skip
    yield ObjectOperation("vector_stores.file_batches.retrieve", "GET", batch, on)
    yield ObjectOperation("vector_stores.file_batches.cancel", "POST", f"{batch}/cancel", on)
    yield ObjectOperation("vector_stores.file_batches.files", "GET", f"{batch}/files", on, within)


def _containers() -> Iterator[ObjectOperation]:
    on = frozenset({"containers"})
    one = "/containers/{container_id}"
    files, file = f"{one}/files", f"{one}/files/{{container_file_id}}"
    yield ObjectOperation(
        "containers.list", "GET", "/containers", on, _PAGE | {"name"}, lists="container"
    )
    yield ObjectOperation("containers.retrieve", "GET", one, on)
    yield ObjectOperation("containers.delete", "DELETE", one, on, deletes=True)
    yield ObjectOperation("containers.files.list", "GET", files, on, _PAGE)
    yield ObjectOperation(
        "containers.files.create", "POST", files, on, form=True,
        fields=frozenset({"file", "file_id"}),
    )  # fmt: skip
    yield ObjectOperation("containers.files.retrieve", "GET", file, on)
    yield ObjectOperation("containers.files.delete", "DELETE", file, on)
    yield ObjectOperation("containers.files.content", "GET", f"{file}/content", on)


OBJECTS = tuple(_operations())
"""Every operation on objects that is served and costs nothing."""


def _priced() -> Iterator[ObjectOperation]:
    yield ObjectOperation(
        "containers.create", "POST", "/containers", frozenset({"containers"}),
        fields=frozenset({"name", "expires_after", "file_ids", "memory_limit"}),
    )  # fmt: skip
    yield ObjectOperation(
        "vector_stores.search", "POST", "/vector_stores/{vector_store_id}/search",
        frozenset({"vector_stores"}),
        fields=frozenset(
            {"query", "filters", "max_num_results", "ranking_options", "rewrite_query"}
        ),
    )  # fmt: skip


PRICED = tuple(_priced())
"""Those that OpenAI bills by the use: they go the main path."""


SERVED = (*OBJECTS, *PRICED)


def _pattern(template: str) -> re.Pattern[str]:
    parts = (
        f"(?P<{part[1:-1]}>{ID})" if part.startswith("{") else re.escape(part)
        for part in template.split("/")
    )
    return re.compile(PREFIX + "/".join(parts), re.ASCII)


_PATTERNS = [(operation, _pattern(operation.path)) for operation in SERVED]
_FIRST = frozenset(operation.path.split("/")[1] for operation in OBJECTS)


def find(method: str, path: str) -> tuple[ObjectOperation, dict[str, str]] | None:
    """The operation of a raw path and the ids in it; None when it is none of these."""
    if not _may_be_one(path):
        return None
    for operation, pattern in _PATTERNS:
        if operation.method == method and (found := pattern.fullmatch(path)):
            return operation, found.groupdict()
    return None


def methods_of(path: str) -> set[str]:
    """The methods that a raw path has here."""
    if not _may_be_one(path):
        return set()
    return {operation.method for operation, pattern in _PATTERNS if pattern.fullmatch(path)}


def _may_be_one(path: str) -> bool:
    parts = path.split("/", 3)
    return len(parts) > 2 and parts[2] in _FIRST
