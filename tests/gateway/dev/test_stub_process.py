"""The stub OpenAI as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx2
import pytest

from gateway.dev import stub_bills
from tests.gateway.dev.stub_caller import HEADERS, a_call, a_stream, chat, events_of, scripted

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("lean", [False, True], ids=["", "lean"])
async def test_it_runs_as_a_process_of_its_own(tmp_path: Path, lean: bool) -> None:
    """It says where it is, writes its bills to a file, and ends when it is told to."""
    billed = tmp_path / "billed.jsonl"
    arguments = ["--billed", str(billed), "--latency-ms", "1", *(["--lean"] if lean else [])]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.dev.stub_openai",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    base_url = (await process.stdout.readline()).decode().strip()
    async with httpx2.AsyncClient(base_url=base_url, headers=HEADERS, trust_env=False) as client:
        reply = await chat(client, a_call())
        body = json.dumps(a_stream(scripted(chunks=32)), separators=(",", ":"))
        response = await client.post("/chat/completions", content=body)
        told = await client.get(base_url.removesuffix("/v1") + "/stub/billed")
        health = await client.get(base_url.removesuffix("/v1") + "/stub/health")
    process.send_signal(signal.SIGTERM)
    code = await process.wait()

    bills = stub_bills.read(billed)
    *chunks, usage, done = events_of(response.text)
    texts = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert code == 0
    assert health.status_code == 200
    assert reply["usage"] == bills[0].usage
    assert usage["usage"] == bills[1].usage
    assert [text for text in texts if text] == [" word"] * 32
    assert done == "[DONE]"
    assert [bill.transaction for bill in bills] == ["t-1", "t-1"]
    assert [stub_bills.Bill(**bill) for bill in told.json()["billed"]] == bills
