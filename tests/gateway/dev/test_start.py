"""`gateway dev`: one command, nothing to set up, and what was there is there again."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from gateway.dev import start as module
from metering.money import Credits
from tests.faults.processes import Process

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Dev:
    """A running `gateway dev` and what it printed at its start."""

    process: Process
    banner: str

    def shown(self, pattern: str) -> str:
        """A part of the banner."""
        found = re.search(pattern, self.banner)
        assert found, self.banner
        return found[1]

    @property
    def url(self) -> str:
        return self.shown(r"Gateway +(http://\S+)/v1")

    @property
    def key(self) -> str:
        return self.shown(r"key (gw-[A-Za-z0-9_-]{43})")

    @property
    def token(self) -> str:
        return self.shown(r"token (\S+)")


def start(folder: Path, *, port: int = 0) -> Process:
    """Start it on a data directory."""
    arguments = ("dev", "--port", str(port), "--data-dir", str(folder))
    return Process("gateway", *arguments, environ={}, log=folder.with_suffix(".log"))


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Dev]:
    """`gateway dev`, once it is ready; it is ended as an operator does."""
    process = start(folder)
    try:
        while "Ctrl-C stops it" not in process.log.read_text():
            assert process.runs, process.log.read_text()
            await asyncio.sleep(0.01)
        yield Dev(process, process.log.read_text())
        assert await process.terminated() == 0
    finally:
        process.kill()
        process.log.unlink()


async def ended(process: Process) -> str:
    """Wait until it has ended by itself; what it printed."""
    while process.runs:
        await asyncio.sleep(0.01)
    return process.log.read_text()


async def remaining(dev: Dev) -> Credits:
    """Make the call that the banner shows; what is left after it."""
    body = dev.shown(r"-d '(\{.*\})'")
    path = dev.shown(r"curl -i http://[^/]+(/\S+)")
    headers = {"Authorization": f"Bearer {dev.key}", "Content-Type": "application/json"}
    async with httpx2.AsyncClient(timeout=30) as client:
        reply = await client.post(dev.url + path, content=body, headers=headers)
    assert reply.status_code == 200, reply.text
    assert Credits.parse(reply.headers["x-credits-used"]) > Credits(0)
    return Credits.parse(reply.headers["x-credits-remaining"])


async def test_more_is_bought_at_the_stub_of_paystack(tmp_path: Path) -> None:
    """The curl of the banner, then the page that pays at once: 50 and 30 are 80."""
    async with running(tmp_path / "data") as dev, httpx2.AsyncClient(timeout=30) as client:
        headers = {"Authorization": f"Bearer {dev.key}"}
        body = dev.shown(r"/portal/purchases -d '(\{.*\})'")
        origin = dev.url

        bought = await client.post(f"{origin}/portal/purchases", content=body, headers=headers)
        page = await client.get(bought.json()["authorization_url"], follow_redirects=True)
        credits = await client.get(f"{dev.url}/v1/credits", headers=headers)

    assert "30.00 credits were added" in page.text
    assert credits.json()["available"] == "80.00"


async def test_what_is_shown_works_and_is_kept_between_starts(tmp_path):
    """The curl answers; after a restart it is the same key, and the balance goes on."""
    folder = tmp_path / "data"
    async with running(folder) as first:
        left = await remaining(first)
        assert left < Credits.parse("50")
        second = start(folder)
        refused = await ended(second)

    async with running(folder) as again:
        left_again = await remaining(again)

    assert (again.key, again.token) == (first.key, first.token)
    assert left_again - left == left - Credits.parse("50")
    assert second._process.returncode == 1
    assert f"in use by the gateway with process id {first.process._process.pid}" in refused
    assert "Traceback" not in refused + first.banner + again.banner


async def test_its_secrets_are_readable_by_their_owner_alone(tmp_path):
    """The key and the token lie in the directory, mode 0600; the records have digests only."""
    folder = tmp_path / "data"
    async with running(folder) as dev:
        headers = {"Authorization": f"Bearer {dev.token}"}
        async with httpx2.AsyncClient() as client:
            reply = await client.get(f"{dev.url}/admin/businesses", headers=headers)

    assert [business["name"] for business in reply.json()["data"]] == ["Demo Shop"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("demo.json", "admin-token"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    for file in folder.rglob("*"):
        if file.is_file() and file.name not in ("demo.json", "admin-token"):
            content = file.read_bytes()
            assert dev.key.encode() not in content, file
            assert dev.token.encode() not in content, file


async def test_a_port_in_use_ends_it_before_anything_is_made(tmp_path):
    """One line; the data directory is not even there."""
    folder = tmp_path / "data"
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        process = start(folder, port=port)
        printed = await ended(process)

    assert process._process.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in printed
    assert len(printed.splitlines()) == 1
    assert not folder.exists()


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "GATEWAY__OPENAI__API_KEY"])
async def test_with_a_key_of_openai_there_is_no_stub(name, monkeypatch):
    """Then calls cost money, and the banner says so."""
    monkeypatch.setenv(name, "sk-real-0123456789abcdef")

    async with module._upstream() as upstream:
        assert upstream is None


async def test_without_a_key_of_openai_a_stub_answers(monkeypatch):
    """Nothing is asked of anybody outside."""
    for name in ("OPENAI_API_KEY", "GATEWAY__OPENAI__API_KEY"):
        monkeypatch.delenv(name, raising=False)

    async with module._upstream() as upstream:
        assert upstream is not None
        assert upstream.startswith("http://127.0.0.1:")
