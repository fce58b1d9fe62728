"""Ids: UUIDv7 as text, so that newer rows sort after older ones."""

from __future__ import annotations

from uuid import UUID, uuid5

import uuid_utils

from storage.errors import NotFound


def new_id() -> str:
    """A fresh UUIDv7, in small letters with dashes."""
    return str(uuid_utils.uuid7())


def adjusted_id(id: str) -> str:
    """The id of the row that corrects a call; it follows from the call's, so there is one."""
    return str(uuid5(UUID(id), "adjusted"))


def known_id(noun: str, text: str) -> str:
    """
    The id that `text` spells, in the form in which it is stored.

    Raises:
        NotFound: It is no UUID at all, so nothing of that noun can have it.
    """
    try:
        return str(UUID(text))
    except ValueError:
        raise NotFound(noun, text) from None
