"""One file from which a run goes on to the same bits."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..errors import StorageError, UsageError
from ..storage import write_atomically
from .settings import Settings

VERSION = 1


def save_checkpoint(path: Path, settings: Settings, state: dict[str, np.ndarray]) -> None:
    """state: arrays by name. The file is the old one or the new one, whole."""
    buffer = io.BytesIO()
    head = json.dumps({"version": VERSION, "settings": settings.to_dict()})
    np.savez(buffer, head=np.array(head), **state)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> tuple[Settings, dict[str, np.ndarray]]:
    """Raises UsageError if there is none, StorageError if it is not a whole ecedge checkpoint."""
    if not path.exists():
        raise UsageError(f"There is no checkpoint {path}.", "Give the folder of an earlier run.")
    try:
        with np.load(path, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
        head = json.loads(str(state.pop("head")))
        version = head["version"]
        settings = Settings(**head["settings"]) if version == VERSION else None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(f"{path} is not a checkpoint of ecedge: {error}.") from None
    if settings is None:
        raise StorageError(
            f"{path} has checkpoint version {version}; this ecedge reads {VERSION}.",
            "Resume it with the ecedge that wrote it.",
        )
    return settings, state
