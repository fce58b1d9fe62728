"""LiteLLM's proxy, in Python: one worker and its master key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import installing
from benchmarks.peers.peer import MODEL, STARTED_WITHIN_S, Door, Peer
from benchmarks.processes import free_port, running

# The newest that could be installed on 2026-11-22: those after it want a certifi that was
# younger than what the package index gave out.
VERSION = "1.106.2"
KEY = "sk-of-the-benchmark"

CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params:
      {{model: openai/{model}, api_base: "http://{upstream}/v1", api_key: {key}}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""


def install(folder: Path) -> None:
    installing.from_pypi(folder, f"litellm[proxy]=={VERSION}")


@contextmanager
def start(installed: Path, folder: Path, upstream: str, cores: frozenset[int]) -> Iterator[Door]:
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(CONFIG.format(model=MODEL, upstream=upstream, key=KEY))
    environment = {
        "HOME": str(folder),
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # The list that it carries; no download.
    }
    command: list[str | Path] = [installed / "bin" / "litellm", "--config", config]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with running(
        "litellm",
        command,
        folder,
        port=port,
        cores=cores,
        environment=environment,
        within_s=STARTED_WITHIN_S,
    ) as pid:
        yield Door(port, pid, key=KEY)


PEER = Peer(
    name="litellm",
    title=f"LiteLLM {VERSION}",
    does="its master key; no keys of businesses, no budget (they need PostgreSQL and Prisma's "
    "engine, which no package registry has)",
    fewer=40,
    install=install,
    start=start,
)
