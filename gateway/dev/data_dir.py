"""What makes a data directory ours: a lock on it, and a place for the store's socket."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

LONGEST_SOCKET_PATH = 107  # Bytes; the kernel's sun_path has 108, one of them the final NUL.


class DataDirError(Exception):
    """The data directory cannot be used."""


class DataDirBusy(DataDirError):
    """Another gateway runs on this data directory."""


class Lock:
    """
    A lock file that names its holder.

    The kernel gives it back when the last process that has it open ends, so a lock is never
    stale. A child that inherits `fileno()` holds it too.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a+b")  # noqa: SIM115  (Held for as long as it is open.)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        """The open file, for a child to inherit."""
        return self._file.fileno()

    def take(self) -> bool:
        """Take it if nobody else has it."""
        import fcntl  # Windows has none, and must get as far as the error that says so.

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def name_holder(self, pid: int) -> None:
        """Write down who holds it."""
        self._file.truncate(0)
        self._file.write(f"{pid}\n".encode())
        self._file.flush()

    def holder(self) -> str:
        """The process id written down by the holder, for an error's text."""
        self._file.seek(0)
        return self._file.read(20).decode(errors="replace").strip() or "unknown"


@contextmanager
def claimed(data_dir: Path) -> Iterator[Path]:
    """
    Make the data directory if need be, and keep every other gateway out of it.

    Yields:
        Its absolute path.

    Raises:
        DataDirBusy: Another gateway runs there; names its process id.
    """
    data_dir = data_dir.absolute()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataDirError(
            f"{data_dir} cannot be a data directory ({error.strerror}); "
            "choose another with --data-dir"
        ) from error
    with Lock(data_dir / "gateway.lock") as lock:
        if not lock.take():
            raise DataDirBusy(
                f"the data directory {data_dir} is in use by the gateway with process id "
                f"{lock.holder()}; stop it, or choose another with --data-dir"
            )
        lock.name_holder(os.getpid())
        yield data_dir


def socket_in(data_dir: Path) -> Path:
    """Where the socket of a data directory lies: in it, unless that path is too long."""
    socket = data_dir.absolute() / "valkey.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
        return socket
    digest = hashlib.sha256(os.fsencode(socket)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"gateway-{os.getuid()}-{digest}" / "valkey.sock"


@contextmanager
def socket_folder(socket: Path, data_dir: Path) -> Iterator[None]:
    """
    The folder of the socket, made and removed again when it is not the data directory.

    Raises:
        DataDirError: Somebody else made that folder, or may write into it.
    """
    if socket.parent == data_dir:
        yield
        return
    with suppress(FileExistsError):
        socket.parent.mkdir(mode=0o700)
    found = socket.parent.lstat()
    if socket.parent.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise DataDirError(
            f"{socket.parent} is not ours alone; remove it, or choose a shorter --data-dir"
        )
    try:
        yield
    finally:
        with suppress(OSError):
            socket.parent.rmdir()
