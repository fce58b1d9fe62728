"""
The command `gateway`, one file a noun.

Exit codes: 0 done; 1 refused or failed; 2 the command line is wrong; 3 there is no such
thing; 4 the ledger or the records do not answer, or their tables are too old; 5 the
settings are wrong; 6 a check found something wrong (`ledger verify`, `doctor`); 130
interrupted. `--json` prints one JSON document a line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    from gateway.cli.commands import run

    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))
