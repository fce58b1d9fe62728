"""Ferro Labs AI Gateway, in Go: a key that its admin API issued, and its budget plugin."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.peers import installing
from benchmarks.peers.peer import STARTED_WITHIN_S, Door, Peer
from benchmarks.processes import free_port, running

VERSION = "1.5.10"
MASTER_KEY = f"fgw_{'0' * 32}"

# The plugin has to be there twice: one reads what was spent, the other adds to it.
CONFIG = """\
strategy: {mode: single}
targets: [{virtual_key: openai}]
plugins:
  - {name: budget, type: ratelimit, stage: before_request, enabled: true, config: &budget {
      spend_limit_usd: 1000000, input_per_m_tokens: 1.0, output_per_m_tokens: 4.0}}
  - {name: budget, type: ratelimit, stage: after_request, enabled: true, config: *budget}
"""


def install(folder: Path) -> None:
    installing.from_pypi(folder, f"ferrogw=={VERSION}")


@contextmanager
def start(installed: Path, folder: Path, upstream: str, cores: frozenset[int]) -> Iterator[Door]:
    port = free_port()
    config = folder / "ferro.yaml"
    config.write_text(CONFIG)
    environment = {
        "PORT": str(port),
        "GATEWAY_CONFIG": str(config),
        "MASTER_KEY": MASTER_KEY,
        "OPENAI_API_KEY": "sk-of-the-benchmark",
        "OPENAI_BASE_URL": f"http://{upstream}/v1",
        "FERRO_MODEL_CATALOG_TIMEOUT": "0",  # The list that it carries; nothing is downloaded.
        "RATE_LIMIT_RPS": "1000000",  # Else it answers 429 from 100 calls a second on.
        "RATE_LIMIT_BURST": "1000000",
        "HOME": str(folder),
    }
    command: list[str | Path] = [installed / "bin" / "ferrogw", "serve"]
    with running(
        "ferro",
        command,
        folder,
        port=port,
        cores=cores,
        environment=environment,
        within_s=STARTED_WITHIN_S,
    ) as pid:
        yield Door(port, pid, key=_issue(port))


def _issue(port: int) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/admin/keys",
        data=msgspec.json.encode({"name": "bench", "scopes": ["read_only"]}),
        headers={"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return str(msgspec.json.decode(reply.read())["key"])


PEER = Peer(
    name="ferro",
    title=f"Ferro {VERSION}",
    does="a key that it issued, budget plugin in memory, a log line a call; nothing in SQL",
    fewer=2,
    install=install,
    start=start,
)
