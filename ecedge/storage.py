"""Files that are either the old ones or the new ones, never a piece of both."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .errors import StorageError


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
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"Cannot write {path}: {reason}.", _hint(path, error)) from error


def _sync_folder(folder: Path) -> None:
    """Makes the new name survive a power cut; Windows has no such call and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _hint(path: Path, error: OSError) -> str:
    if not path.parent.is_dir():
        return f"Make the folder {path.parent} first."
    if path.is_dir():
        return "Give the name of a file, not of a folder."
    if isinstance(error, PermissionError):
        return f"Choose a folder that you may write to; {path.parent} is not one."
    return f"What was there before is untouched; free some space in {path.parent} and try again."
