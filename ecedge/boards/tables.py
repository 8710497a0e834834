"""Tables of measured figures in `firmware`: CSV below comments that say what wrote it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ..storage import write_atomically


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a table by their columns' names; none where there is no file yet."""
    if not path.is_file():
        return []
    lines = path.read_text("utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def write_table(path: Path, command: str, about: str, rows: list[dict]) -> None:
    text = io.StringIO()
    for line in [f"Made by `{command}`: do not edit, make it again.", *about.splitlines()]:
        text.write(f"# {line}\n")
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
