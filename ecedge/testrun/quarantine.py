"""The quarantine: devices that a test run leaves alone for a while, and why. docs/HIL.md.

A list of entries, so that putting a device there is a piece of text at the file's end, and taking
it out is deleting that.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from ..errors import RigError, StorageError
from ..storage import reason, write_atomically

FILE = "quarantine.toml"  # beside the rig file
KEYS = "device", "reason", "until"


@dataclass(frozen=True)
class Entry:
    """A device, and why it is not asked. until: the last day; None is until it is deleted."""

    device: str
    reason: str
    until: date | None = None

    def __str__(self) -> str:
        return f"In quarantine until {self.until or 'it is taken out'}: {self.reason}"

    def holds(self, today: date) -> bool:
        return self.until is None or today <= self.until


@dataclass(frozen=True)
class Quarantine:
    """The entries of a file, `where`."""

    where: Path
    entries: tuple[Entry, ...] = ()

    def find(self, device: str, today: date) -> Entry | None:
        """Why the device is not asked today: the entry that holds for longest."""
        held = [entry for entry in self.entries if entry.device == device and entry.holds(today)]
        return max(held, key=lambda entry: entry.until or date.max, default=None)


def parse_quarantine(text: str, where: Path, devices: Sequence[str]) -> Quarantine:
    """The quarantine of a file's text. devices: those that there are. RigError: what is wrong."""
    try:
        facts = tomllib.loads(text)
    except RecursionError:
        raise RigError(f"{where} is not TOML that can be read: it nests too deep.") from None
    except ValueError as error:
        raise RigError(f"{where} is not TOML: {f'{error}'.rstrip('.')}.") from error
    tables = facts.pop("quarantine", [])
    if facts or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise RigError(f"{where} is no quarantine.", "It is a list of tables [[quarantine]].")
    return Quarantine(where, tuple(_parse_entry(t, f"{where}", devices) for t in tables))


def _parse_entry(facts: dict, where: str, devices: Sequence[str]) -> Entry:
    if unknown := [key for key in facts if key not in KEYS]:
        raise RigError(f"{where}: unknown key {unknown[0]!r}.", f"Keys: {', '.join(KEYS)}.")
    name, why, until = (facts.get(key) for key in KEYS)
    if name not in devices:
        raise RigError(
            f"{where}: device is {name!r}, which the rig does not name.",
            f"It names {', '.join(devices)}.",
        )
    if not isinstance(why, str) or not why.strip() or not why.isprintable():
        raise RigError(f"{where}: the reason for {name} is {why!r}; it is a text in quotes.")
    if until is not None and (not isinstance(until, date) or isinstance(until, datetime)):
        raise RigError(f"{where}: until of {name} is {until!r}; it is a day, as 2026-12-31.")
    return Entry(name, why, until)


def read_quarantine(rig: Path, devices: Sequence[str]) -> Quarantine:
    """The quarantine of a rig file: of the file beside it, if there is one."""
    where = rig.with_name(FILE)
    return parse_quarantine(_text_of(where), where, devices)


def put_into_quarantine(quarantine: Quarantine, entries: Sequence[Entry]) -> None:
    """Adds entries at the end of the file; what stands there stays. RigError: it would be no
    quarantine any more, and is left as it was."""
    text = _text_of(quarantine.where)
    for entry in entries:
        # A TOML string is a JSON one, but for the letters that are not printable.
        why = "".join(letter if letter.isprintable() else " " for letter in entry.reason)
        until = f"until = {entry.until}\n" if entry.until else ""
        gap = "\n" if text else ""
        text += (
            f'{gap}[[quarantine]]\ndevice = "{entry.device}"\n'
            f"reason = {json.dumps(why, ensure_ascii=False)}\n{until}"
        )
    parse_quarantine(text, quarantine.where, [e.device for e in (*quarantine.entries, *entries)])
    write_atomically(quarantine.where, text.encode())


def _text_of(where: Path) -> str:
    try:
        return where.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise RigError(f"{where} is not UTF-8: {error.reason} at byte {error.start}.") from error
    except OSError as error:
        raise StorageError(f"Cannot read {where}: {reason(error)}.") from error
