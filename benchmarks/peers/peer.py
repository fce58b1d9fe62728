"""What the run needs to know of another gateway: how to get it, start it, and speak to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

MODEL = "gpt-5.4-mini"
"""A model that the price lists of all of them know."""

STARTED_WITHIN_S = 120.0  # LiteLLM imports for 8 seconds on a quiet machine.


class NotHad(Exception):
    """A peer could not be installed here; the text says why."""


@dataclass(frozen=True)
class Door:
    """Where a peer listens, who it is, and what it wants to be sent."""

    port: int
    pid: int
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)


Start = Callable[[Path, Path, str, frozenset[int]], AbstractContextManager[Door]]


@dataclass(frozen=True)
class Peer:
    """
    Another gateway.

    Attributes:
        name: What it is asked for by.
        title: What the report calls it, its version included.
        does: What of our work it does in this run, and what not.
        fewer: So many times fewer calls are made of it, because it is slow.
        install: Puts it into an empty folder; raises NotHad.
        start: Runs it from that folder, with a folder for its files, in front of an
            upstream (host and port), on some cores.
    """

    name: str
    title: str
    does: str
    fewer: int
    install: Callable[[Path], None]
    start: Start
