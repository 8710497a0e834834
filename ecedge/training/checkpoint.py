"""One file from which a run goes on to the same bits."""

from __future__ import annotations

import io
import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from ..errors import StorageError, UsageError
from ..storage import reason, write_atomically
from .settings import Settings

VERSION = 1


def save_checkpoint(path: Path, settings: Settings, state: dict[str, np.ndarray]) -> None:
    """state: arrays by name. The file is the old one or the new one, whole."""
    buffer = io.BytesIO()
    head = {"version": VERSION, "settings": settings.to_dict(), "arrays": sorted(state)}
    np.savez(buffer, head=np.array(json.dumps(head)), **state)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> tuple[Settings, dict[str, np.ndarray]]:
    """Settings that did not exist when it was written have their defaults. Raises UsageError if
    there is none, StorageError if it is not a whole checkpoint that this ecedge reads."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"There is no checkpoint {path}.", "Give the folder of an earlier run."
        ) from None
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {reason(error)}.") from error
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
        head = json.loads(str(state.pop("head")))
        version = head["version"]
        unknown = head["settings"].keys() - {field.name for field in fields(Settings)}
        if version == VERSION and not unknown:
            settings = Settings(**head["settings"])
            if head["arrays"] != sorted(state):
                raise KeyError("arrays")
    except Exception as error:  # readers of zip and npy raise whatever they like at damage
        raise StorageError(
            f"{path} is damaged, or not a checkpoint of ecedge.", "Begin the run anew."
        ) from error
    if version != VERSION:
        raise StorageError(
            f"{path} has checkpoint version {version}; this ecedge reads {VERSION}.",
            "Resume it with the ecedge that wrote it.",
        )
    if unknown:
        raise foreign(path, f"{', '.join(sorted(unknown))} is unknown here")
    return settings, state


def foreign(path: Path, why: str) -> StorageError:
    """A checkpoint of an ecedge that knew more or less than this one."""
    return StorageError(
        f"{path} was written by another version of ecedge: {why}.",
        "Resume it with that one, or begin the run anew.",
    )
