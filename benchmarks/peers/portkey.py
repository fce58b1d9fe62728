"""Portkey's open gateway, in Node: it forwards; keys, budgets and logs are in its paid service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.peers import installing
from benchmarks.peers.peer import STARTED_WITHIN_S, Door, Peer
from benchmarks.processes import free_port, running

VERSION = "1.15.2"

# It asks for @hono/node-server ^1.3.3. With the newest of these, 1.19.19, each stream ends in
# "TypeError: immutable" and a 500; with this one they work.
PACKAGE = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": VERSION},
    "overrides": {"@hono/node-server": "1.13.8"},
}


def install(folder: Path) -> None:
    installing.from_npm(folder, msgspec.json.encode(PACKAGE).decode())


@contextmanager
def start(installed: Path, folder: Path, upstream: str, cores: frozenset[int]) -> Iterator[Door]:
    port = free_port()
    server = installed / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    environment = {
        "NODE_ENV": "production",
        "TRUSTED_CUSTOM_HOSTS": "127.0.0.1",
        "HOME": str(folder),
    }
    command: list[str | Path] = ["node", server, "--headless", f"--port={port}"]
    with running(
        "portkey",
        command,
        folder,
        port=port,
        cores=cores,
        environment=environment,
        within_s=STARTED_WITHIN_S,
    ) as pid:
        headers = {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://{upstream}/v1",
        }
        yield Door(port, pid, key="sk-of-the-benchmark", headers=headers)


PEER = Peer(
    name="portkey",
    title=f"Portkey {VERSION}",
    does="forwards only: no keys, no budget, no log",
    fewer=2,
    install=install,
    start=start,
)
