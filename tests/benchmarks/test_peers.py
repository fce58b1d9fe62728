"""Peers: where they are kept, what is said of one that cannot be had, and how they are shown."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from benchmarks import beside_report
from benchmarks.__main__ import PEERS
from benchmarks.bench import Figure, Results
from benchmarks.beside import Beside, PeerFigure, Peers, asked_for
from benchmarks.peers import installing
from benchmarks.peers.peer import NotHad, Peer
from benchmarks.workloads import WORKLOADS

JSON, STREAM, MANY = (workload.name for workload in WORKLOADS)


def peer(install: list[Path], *, fails: str = "") -> Peer:
    def put(folder: Path) -> None:
        install.append(folder)
        (folder / "program").touch()
        if fails:
            raise NotHad(fails)

    start = PEERS[0].start
    return Peer("one", "One 1.0", "forwards only", 1, install=put, start=start)


def test_a_peer_is_installed_once(tmp_path: Path) -> None:
    """What is whole is kept between runs, in a folder with its version in the name."""
    installed: list[Path] = []

    folder = installing.had(peer(installed), say=print, kept=tmp_path)
    again = installing.had(peer(installed), say=print, kept=tmp_path)

    assert folder == again == tmp_path / "one-1.0"
    assert len(installed) == 1


def test_a_peer_left_half_way_is_installed_anew(tmp_path: Path) -> None:
    """An installation that failed or was cut is never taken for one that worked."""
    installed: list[Path] = []
    with pytest.raises(NotHad):
        installing.had(peer(installed, fails="no"), say=print, kept=tmp_path)

    folder = installing.had(peer(installed), say=print, kept=tmp_path)

    assert len(installed) == 2
    assert (folder / "program").exists()


def test_npm_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Node is told what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NotHad, match="apt-get install nodejs npm"):
        installing.from_npm(tmp_path, "{}")


def test_a_peer_that_cannot_be_had_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a line of the report, with the reason."""
    monkeypatch.setattr(installing, "had", lambda peer, *, say: peer.install(tmp_path))
    said: list[str] = []
    peers = Peers(
        [peer([], fails="pip install: no such version")], rounds=1, quick=True, say=said.append
    )

    peers.install()

    results = Results(beside=peers.found)
    assert beside_report.notes(results) == [
        "One 1.0 could not be installed: pip install: no such version"
    ]
    assert said == beside_report.notes(results)
    assert beside_report.rows(results)[-1][2:] == ["–", "–", "–"]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("Looking\nERROR: no such version\n", "ERROR: no such version"),
        ("npm error code E404\nnpm error 404 at https://registry/x\n", "npm error code E404"),
        ("", "it failed and said nothing"),
        ("x" * 500, "x" * 160 + "…"),
    ],
)
def test_the_line_that_says_why(output: str, said: str) -> None:
    """The last error an installer told, shortened, without an address."""
    assert installing.why(output) == said


def test_peers_are_asked_for_by_name() -> None:
    """Without --peers none, with it alone all, else those that are named."""
    assert asked_for(None, PEERS) == []
    assert asked_for([], PEERS) == list(PEERS)
    assert [found.name for found in asked_for(["litellm", "ferro"], PEERS)] == ["ferro", "litellm"]


def found(*figures: PeerFigure) -> Results:
    """Ours costs 200 µs for the first workload; the peer was measured like this."""
    rounds = defaultdict(list, {(JSON, "gateway"): [Figure(200.0, 0, 0, 1.0)]})
    return Results(rounds=rounds, beside=[Beside(peer([]), rounds={JSON: list(figures)})])


def test_a_peer_is_shown_as_so_many_times_ours() -> None:
    """CPU of one good call, the median of the rounds, and its ratio to ours in this run."""
    results = found(
        PeerFigure(cpu_us=300_000, calls=100, good=100, took_s=1),
        PeerFigure(cpu_us=500_000, calls=100, good=100, took_s=1),
        PeerFigure(cpu_us=400_000, calls=100, good=100, took_s=1),
    )

    assert beside_report.rows(results)[-1][2] == "4,000 (20×)"
    assert beside_report.notes(results) == []


@pytest.mark.parametrize(
    ("good", "shown"),
    [
        (99_999, "200 (1.0×), 0.1 % failed"),
        (96_500, "207 (1.0×), 3.5 % failed"),
        (40_000, "60 % failed"),
        (1, "99.9 % failed"),
        (0, "100 % failed"),
    ],
)
def test_calls_that_fail_are_shown(good: int, shown: str) -> None:
    """However few they are; and where most fail, the cost of the others says nothing."""
    results = found(
        PeerFigure(cpu_us=20_000_000, calls=100_000, good=good, took_s=1, why="status 500")
    )

    assert beside_report.rows(results)[-1][2] == shown
    assert "status 500" in beside_report.notes(results)[0]
    assert any(shown in line for line in beside_report.markdown(results))
