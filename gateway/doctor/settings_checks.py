"""Whether the admin token is one, and whether there is room for the files of an own store."""

from __future__ import annotations

import shutil
from pathlib import Path

from gateway.doctor.finding import Finding, ok, unsure, wrong

LETTERS_LEAST = 8  # A random token of 22 characters has some 18 different ones.
ROOM_LEAST_BYTES = 512 * 2**20
ROOM_WANTED_BYTES = 2 * 2**30


def admin_token_judged(token: str | None, *, is_digest: bool) -> Finding:
    """
    Whether somebody could guess it.

    Args:
        token: None where none is set.
        is_digest: It is the SHA-256 of the token.
    """
    if token is None:
        return unsure("admin.token", "no admin token is set: the admin API is closed",
                      "gateway init makes one; the commands work without it")  # fmt: skip
    if is_digest:
        return ok("admin.token", "the admin token is set, as its SHA-256")
    if len(set(token)) < LETTERS_LEAST:
        return wrong("admin.token", "the admin token can be guessed",
                     "set another under [admin], such as from: openssl rand -hex 24")  # fmt: skip
    return ok("admin.token", "the admin token is set, and long enough")


def check_room(folder: Path) -> Finding:
    """The free space where the embedded store and SQLite have their files."""
    try:
        return room_judged(str(folder), shutil.disk_usage(folder).free)
    except OSError as error:
        return wrong("disk", f"{folder} cannot be looked at: {error.strerror}",
                     "make it, or name another")  # fmt: skip


def room_judged(folder: str, free: int) -> Finding:
    """Whether `free` bytes are enough."""
    said = f"{free / 2**30:.1f} GiB are free in {folder}"
    if free < ROOM_LEAST_BYTES:
        return wrong("disk", said, "make room: when it is full no call can be settled")
    if free < ROOM_WANTED_BYTES:
        return unsure("disk", said, "make room soon")
    return ok("disk", said)
