"""The server: where it listens, what it says when it cannot start, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from gateway.dev.stub_openai import StubOpenAI
from gateway.server import PortInUse, Server, listen
from metering.money import Credits
from storage.database import Database
from storage.transactions import Transaction, page
from tests.faults.processes import Process, free_port
from tests.house import ADMIN_TOKEN, OUR_KEY

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


@pytest.fixture
async def environ(valkey_url: str, sqlite_records_url: str) -> AsyncIterator[dict[str, str]]:
    """What `gateway serve` needs around it."""
    async with StubOpenAI.serving(api_key=OUR_KEY) as openai:
        yield {
            "GATEWAY__REDIS__URL": valkey_url,
            "GATEWAY__SQL__URL": sqlite_records_url,
            "GATEWAY__OPENAI__BASE_URL": openai.base_url,
            "GATEWAY__OPENAI__API_KEY": OUR_KEY,
            "GATEWAY__ADMIN__TOKEN": ADMIN_TOKEN,
        }


@contextlib.asynccontextmanager
async def serving(environ: dict[str, str], folder: Path) -> AsyncIterator[tuple[str, Process]]:
    """`gateway serve` as a process of its own."""
    port = free_port()
    gateway = Process(
        "gateway", "serve", "--port", str(port), environ=environ, log=folder / "gateway.log"
    )
    try:
        await gateway.answers(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}", gateway
    finally:
        gateway.kill()


async def a_key(url: str) -> str:
    """A business with 50 credits, as an admin makes it."""
    async with httpx2.AsyncClient(base_url=url, headers=ADMIN) as admin:
        acme = {"name": "Acme", "owner_email": "owner@example.com"}
        id = (await admin.post("/admin/businesses", json=acme)).json()["id"]
        await admin.post(f"/admin/businesses/{id}/top-ups", json={"credits": "50"})
        made = await admin.post(f"/admin/businesses/{id}/keys", json={"name": "test"})
        return str(made.json()["key"])


async def ended(gateway: Process) -> str:
    """Wait until it has ended by itself; what it printed."""
    while gateway.runs:
        await asyncio.sleep(0.01)
    return gateway.log.read_text()


def call(saying: str = "Hello") -> dict[str, object]:
    return {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": saying}]}


async def test_sigterm_lets_a_running_call_end_and_exits_0(environ, tmp_path):
    """It is answered, settled and recorded before the process ends."""
    async with serving(environ, tmp_path) as (url, gateway):
        key = await a_key(url)
        slow = call('[[stub {"latency_ms": 500}]]') | {"stream": True}
        async with httpx2.AsyncClient(timeout=30) as client:
            running = asyncio.create_task(
                client.post(
                    f"{url}/v1/chat/completions",
                    json=slow,
                    headers={"Authorization": f"Bearer {key}"},
                )
            )
            while not await holds(environ):
                await asyncio.sleep(0.005)
            code = await gateway.terminated()
            reply = await running

    assert (code, reply.status_code) == (0, 200)
    assert reply.text.rstrip().endswith("data: [DONE]")
    (row,) = await recorded(environ)
    assert (row.outcome, row.success) == ("settled", True)
    assert row.credits_used > Credits(0)
    last = [line for line in gateway.log.read_text().splitlines() if "call_finished" in line][-1]
    assert json.loads(last)["id"] == row.id


async def holds(environ: dict[str, str]) -> int:
    """How many calls hold credits now."""
    async with Redis.from_url(environ["GATEWAY__REDIS__URL"]) as redis:
        return len([key async for key in redis.scan_iter("*:holds:*")])


async def recorded(environ: dict[str, str]) -> list[Transaction]:
    """Every row of the one business, read from the records of a gateway that has ended."""
    database = Database.open(environ["GATEWAY__SQL__URL"])
    try:
        async with database.read() as connection:
            id = (await connection.execute(text("SELECT id FROM businesses"))).scalar_one()
            return list(await page(connection, id, limit=10))
    finally:
        await database.close()


async def test_sigint_ends_it_as_well(environ, tmp_path):
    """Ctrl-C of somebody who started it by hand."""
    async with serving(environ, tmp_path) as (_, gateway):
        os.kill(gateway._process.pid, signal.SIGINT)
        printed = await ended(gateway)

    assert gateway._process.returncode == 0
    assert "Traceback" not in printed


async def test_the_admin_api_on_a_port_of_its_own(environ, tmp_path):
    """There and not here; one SIGTERM ends both."""
    port = free_port()
    own = environ | {"GATEWAY__ADMIN__PORT": str(port)}
    async with serving(own, tmp_path) as (url, gateway), httpx2.AsyncClient() as client:
        there = await client.get(f"http://127.0.0.1:{port}/admin/businesses", headers=ADMIN)
        closed = await client.get(f"http://127.0.0.1:{port}/admin/businesses")
        calls = await client.get(f"http://127.0.0.1:{port}/v1/models")
        here = await client.get(f"{url}/admin/businesses", headers=ADMIN)
        code = await gateway.terminated()

    assert (there.status_code, closed.status_code, here.status_code) == (200, 401, 404)
    assert calls.status_code == 401
    assert code == 0


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        yield somebody.getsockname()[1]


@pytest.mark.parametrize("whose", ["SERVER", "ADMIN"])
async def test_a_port_in_use_is_named_and_nothing_is_served(environ, tmp_path, taken, whose):
    """One line that says which, and what helps; exit code 1."""
    port = {"SERVER": str(free_port()), whose: str(taken)}
    given = environ | {f"GATEWAY__{name}__PORT": value for name, value in port.items()}
    gateway = Process("gateway", "serve", environ=given, log=tmp_path / "gateway.log")

    printed = await ended(gateway)

    assert gateway._process.returncode == 1
    assert f"127.0.0.1:{taken} cannot be listened on (Address already in use)" in printed
    assert "Traceback" not in printed


async def test_an_old_schema_names_the_command_that_helps(environ, tmp_path):
    """`serve` changes no tables by itself."""
    empty = environ | {"GATEWAY__SQL__URL": f"sqlite+aiosqlite:///{tmp_path / 'empty.sqlite3'}"}
    gateway = Process(
        "gateway", "serve", "--port", "0", environ=empty, log=tmp_path / "gateway.log"
    )

    printed = await ended(gateway)

    assert gateway._process.returncode == 4
    assert "gateway db upgrade" in printed
    assert "Traceback" not in printed


async def test_stores_that_do_not_answer_are_named(environ, tmp_path):
    """The gateway does not start half."""
    away = environ | {"GATEWAY__REDIS__URL": f"redis://127.0.0.1:{free_port()}/0"}
    gateway = Process("gateway", "serve", "--port", "0", environ=away, log=tmp_path / "gateway.log")

    printed = await ended(gateway)

    assert gateway._process.returncode == 4
    assert "Redis" in printed
    assert "Traceback" not in printed


def test_a_port_in_use_is_an_error_that_names_it(taken):
    """Before anything else is started."""
    with pytest.raises(PortInUse, match=f"127.0.0.1:{taken} .* --port or server.port"):
        listen("127.0.0.1", taken)


def test_a_host_that_is_not_ours_is_an_error_that_names_it():
    """The same for an address of another machine."""
    with pytest.raises(PortInUse, match="192.0.2.1"):
        listen("192.0.2.1", 0)


async def test_a_reply_is_not_held_back_by_the_kernel():
    """A head and a body are two writes; with Nagle's delay the second waited 40 ms."""
    accepted: asyncio.Queue[int] = asyncio.Queue()

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            ours = transport.get_extra_info("socket")
            accepted.put_nowait(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    with listen("127.0.0.1", 0) as listener:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Connection, sock=listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        no_delay = await accepted.get()
        writer.close()
        server.close()

    assert no_delay == 1


def test_the_signals_are_given_back():
    """Who ran before us gets them again, and no signal is raised a second time."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    server = Server.__new__(Server)
    server.should_exit = server.force_exit = False
    server._captured_signals = []

    with server.capture_signals():
        os.kill(os.getpid(), signal.SIGTERM)

    assert server.should_exit
    assert {number: signal.getsignal(number) for number in before} == before
