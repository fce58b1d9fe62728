"""The systems that are measured, each a server that forwards to a stub of OpenAI."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import free_port, running

MOST_IN_FLIGHT = 4000

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-errors.log;
events {{ worker_connections {most}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream openai {{ server {upstream}; keepalive {most}; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{
            proxy_pass http://openai;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class System:
    """A server that listens on a port of the loopback interface."""

    name: str
    port: int
    pid: int


@contextmanager
def stub(folder: Path, *, latency_ms: int, cores: frozenset[int]) -> Iterator[str]:
    """A stub of OpenAI; gives its host and port."""
    port = free_port()
    command = [sys.executable, "-m", "gateway.dev.stub_openai", "--lean", "--port", str(port)]
    command += ["--latency-ms", str(latency_ms)]
    with running(f"stub-{latency_ms}", command, folder, port=port, cores=cores):
        yield f"127.0.0.1:{port}"


@contextmanager
def gateway(
    folder: Path, *, upstream: str, redis_url: str, sql_url: str, cores: frozenset[int]
) -> Iterator[System]:
    """The gateway with everything on: `gateway serve`, its recorder in the same process."""
    port = free_port()
    environment = {
        "GATEWAY__SERVER__PORT": str(port),
        "GATEWAY__REDIS__URL": redis_url,
        "GATEWAY__SQL__URL": sql_url,
        "GATEWAY__OPENAI__BASE_URL": f"http://{upstream}/v1",
        "GATEWAY__OPENAI__API_KEY": "sk-of-the-benchmark",
        "GATEWAY__OPENAI__MAX_CONNECTIONS": str(MOST_IN_FLIGHT),
    }
    command = [sys.executable, "-m", "gateway", "serve"]
    with running(
        "gateway", command, folder, port=port, cores=cores, environment=environment
    ) as pid:
        yield System("gateway", port, pid)


@contextmanager
def pass_through(folder: Path, *, upstream: str, cores: frozenset[int]) -> Iterator[System]:
    """The same server and the same way out, without metering."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.pass_through", str(port), f"http://{upstream}/v1"]
    with running("pass-through", command, folder, port=port, cores=cores) as pid:
        yield System("pass-through", port, pid)


@contextmanager
def nginx(folder: Path, *, upstream: str, cores: frozenset[int]) -> Iterator[System | None]:
    """A plain proxy in C, about the limit; None where it is not installed."""
    program = shutil.which("nginx")
    if program is None:
        yield None
        return
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        NGINX.format(folder=folder, most=3 * MOST_IN_FLIGHT, upstream=upstream, port=port)
    )
    command = [program, "-c", str(settings)]
    with running("nginx", command, folder, port=port, cores=cores) as pid:
        yield System("nginx", port, pid)
