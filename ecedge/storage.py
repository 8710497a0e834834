"""Files that are the old ones or the new ones, never a piece of both, and files that grow."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import StorageError, UsageError

#: what to try where a run's folder takes no more
RESUME = "Free some space, then resume: what was learned before is safe."


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """Replaces the file `path` by `data`, on the disk before this returns.

    Whatever goes wrong, a full disk or a power cut, `path` holds its old content or the new one,
    whole. Raises StorageError, and leaves nothing else behind in the folder.
    """
    path = Path(path)
    # Beside the file, since a rename is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                _sync(file)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritten(path, error) from error


def append(path: str | os.PathLike, data: bytes) -> None:
    """Adds bytes to a run's file, on the disk before this returns. A power cut may leave a piece of
    them at its end, for `cut`. Raises StorageError."""
    with _changing(Path(path), "ab") as file:
        file.write(data)


def cut(path: str | os.PathLike, size: int) -> None:
    """Drops what a run's file holds behind its first `size` bytes. Raises StorageError."""
    with _changing(Path(path), "r+b") as file:
        file.truncate(size)


@contextlib.contextmanager
def _changing(path: Path, mode: str) -> Iterator[BinaryIO]:
    try:
        with open(path, mode) as file:
            yield file
            _sync(file)
    except OSError as error:
        raise _unwritten(path, error, RESUME) from error


def reason(error: OSError) -> str:
    """Why, in the system's own words."""
    return (error.strerror or str(error)).lower()


@contextlib.contextmanager
def lock_file(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Holds the lock that the file `path` stands for, so that other processes wait or give up.

    Waits `patience` seconds for one that holds it, then raises UsageError. A killed process holds
    no lock, though its file stays. Systems without flock do without.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "w")
    except OSError as error:
        raise _unwritten(path, error) from error
    with lock:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise UsageError(
                        f"Another process of ecedge holds {path}.", "Wait for it, or end it."
                    ) from None
                time.sleep(0.1)
        yield


def _sync(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes the new name survive a power cut; Windows has no such call and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unwritten(path: Path, error: OSError, hint: str = "") -> StorageError:
    return StorageError(f"Cannot write {path}: {reason(error)}.", hint or _hint(path, error))


def _hint(path: Path, error: OSError) -> str:
    if not path.parent.is_dir():
        return f"Make the folder {path.parent} first."
    if path.is_dir():
        return "Give the name of a file, not of a folder."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Choose a folder that you may write to; {path.parent} is not one."
    return f"What was there before is untouched; free some space in {path.parent} and try again."
