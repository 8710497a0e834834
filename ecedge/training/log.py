"""The run's log: one JSON object a line, one line a generation."""

from __future__ import annotations

import json
from pathlib import Path

from ..storage import append, write_atomically


class Log:
    """Appends lines; a line cut short by a power cut is forgotten by `rewind`."""

    def __init__(self, path: Path):
        self.path = path

    def append(self, entry: dict) -> None:
        append(self.path, f"{json.dumps(entry)}\n".encode())

    def rewind(self, generation: int) -> None:
        """Drops what was logged from `generation` on: it is about to be run again."""
        kept = [entry for entry in read_log(self.path) if entry["generation"] < generation]
        write_atomically(self.path, "".join(json.dumps(e) + "\n" for e in kept).encode())


def read_log(path: Path) -> list[dict]:
    """The entries of a log, up to a line that is not whole."""
    entries = []
    if path.exists():
        for line in path.read_text("utf-8", "replace").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                break
            if not isinstance(entry, dict) or "generation" not in entry:
                break
            entries.append(entry)
    return entries
