"""How a command fails: one clear line on stderr, and the exit code that a script reads."""

from __future__ import annotations

import sys

REFUSED = 1
USAGE = 2
NOT_FOUND = 3
UNAVAILABLE = 4
SETTINGS_WRONG = 5
WRONG = 6
INTERRUPTED = 130

# By name, so that a command that goes well loads nothing for those that do not.
CODES = {
    "FieldRefused": USAGE,
    "NotFound": NOT_FOUND,
    "LedgerUnavailable": UNAVAILABLE,
    "LedgerCorrupt": UNAVAILABLE,
    "RecordsUnavailable": UNAVAILABLE,
    "SchemaOutdated": UNAVAILABLE,
    "SettingsWrong": SETTINGS_WRONG,
    "TariffWrong": SETTINGS_WRONG,
    "RateCardWrong": SETTINGS_WRONG,
    "CommandRefused": REFUSED,
    "AdminRefusal": REFUSED,
    "StorageError": REFUSED,
    "MeteringError": REFUSED,
    "PortInUse": REFUSED,
    "WorkerNotStarted": REFUSED,
    "DataDirError": REFUSED,
    "EmbeddedStoreError": REFUSED,
    "OSError": REFUSED,
}


class CommandRefused(Exception):
    """A command cannot be done as it was given."""


FAILURES = (Exception, KeyboardInterrupt)


def explain(error: BaseException) -> int:
    """
    Print what was asked, found, and helps; the answer is the exit code.

    Raises:
        The error itself when nobody foresaw it: that is a mistake of ours, and its
        traceback is what helps.
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # Who read our output has seen enough: `gateway … | head`.
        sys.stderr.close()
        return 0
    code = _code(error)
    if code is None:
        raise error
    for line in str(error).splitlines():
        print(f"gateway: {line}", file=sys.stderr)
    return code


def _code(error: BaseException) -> int | None:
    names = (kind.__name__ for kind in type(error).__mro__)
    return next((CODES[name] for name in names if name in CODES), None)
