"""
Every operation of OpenAI's that is known here, and what becomes of it, as docs/endpoints.md
lists it.

    python -m gateway.operations docs/endpoints.md

writes that list anew from the tables; a test tells when it is not current.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gateway.endpoints import METERED, OWN, REASONS, SOCKETS
from gateway.objects import OBJECTS, PRICED

BEGIN = "<!-- operations: written by python -m gateway.operations -->"
END = "<!-- the end of the operations -->"

# Names in our templates that tell apart what OpenAI calls alike.
_AS_OPENAI_SAYS = {"{container_file_id}": "{file_id}", "{file_batch_id}": "{batch_id}"}


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One operation.

    Attributes:
        served: metered, free, owner, priced, own or refused.
        needs: Switches of which one must be on; empty for none.
        why: The reason of a refusal.
    """

    method: str
    path: str
    served: str
    needs: tuple[str, ...] = ()
    why: str = ""


def operations() -> list[Operation]:
    """All of them, by path and method."""
    return sorted(_all(), key=lambda one: (one.path, one.method))


def _all() -> Iterator[Operation]:
    for (method, path), endpoint in METERED.items():
        kind = "free" if endpoint.meter.family == "moderations" else "metered"
        yield Operation(method, path, kind)
    for path, socket in SOCKETS.items():
        yield Operation("WS", path, "metered", (socket.switch,) if socket.switch else ())
    for method, path in (*OWN, ("GET", "/v1/models/{model}")):
        yield Operation(method, path, "own")
    for one in (*OBJECTS, *PRICED):
        path = one.path
        for ours, theirs in _AS_OPENAI_SAYS.items():
            path = path.replace(ours, theirs)
        served = "priced" if one in PRICED else "owner"
        yield Operation(one.method, f"/v1{path}", served, tuple(sorted(one.switches)))
    text = (resources.files("gateway") / "refused_operations.tsv").read_text()
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        yield Operation(row["method"], f"/v1{row['path']}", "refused", why=row["reason"])


_SAID = {
    "metered": "metered",
    "free": "free",
    "own": "answered by the gateway, free",
    "owner": "for the owner, free",
    "priced": "for the owner, metered by the use",
    "refused": "refused",
}


def table() -> str:
    """The list as Markdown."""
    lines = ["| method | path | here | needs, or why not |", "|---|---|---|---|"]
    for one in operations():
        needs = " or ".join(f"`{name}`" for name in one.needs)
        more = f"`{one.why}`: {REASONS[one.why]}" if one.why else needs
        lines.append(f"| {one.method} | `{one.path}` | {_SAID[one.served]} | {more} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with its list as the tables have it now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main() -> None:
    """Write the list into the page that is named."""
    page = Path(sys.argv[1])
    page.write_text(written(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
