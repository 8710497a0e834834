"""The rig file: the devices of a desk, by names of one's own. docs/RIG.md.

Pure: ports and answers are handed in. Reading the file, listing ports and asking at them is
`ecedge.devices`'s.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import NoDevice, RigError
from .link import Hello, Port
from .link.transport import BAUDS

#: of a device that is connected
KEYS = "board", "usb_serial", "chip_id", "baud", "fastest", "on_open"
ON_OPEN = "keep", "reset"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
HELLO_BOARD = 16  # bytes that HELLO has for a board's name
CHIP_ID = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True)
class RigDevice:
    """One device of the rig: a connected one, or a spec to `emulate` and nothing else.

    board, chip_id: what HELLO must say. usb_serial, or else chip_id, finds its port. baud: None is
    the port's usual speed. fastest: what both ends may raise it to; None: they don't. on_open:
    "keep" lets the board run on as far as its driver can, "reset" begins it anew.
    """

    name: str
    board: str = ""
    usb_serial: str = ""
    chip_id: str = ""
    baud: int | None = None
    on_open: str = "keep"
    emulate: str = ""
    fastest: int | None = None

    def check(self, hello: Hello, place: str) -> None:
        """Raises NoDevice when it is another device that says `hello` at `place`."""
        for what, wanted, found in (
            ("board", self.board, hello.board),
            ("chip id", self.chip_id, hello.chip_id),
        ):
            if wanted and wanted != found:
                raise NoDevice(
                    f"{place} is not {self.name}: its {what} is {found}, not {wanted}.",
                    "Connect the right one, or correct the rig file.",
                )


@dataclass(frozen=True)
class Rig:
    """The devices of a rig file in its order. where: the file, for messages."""

    where: str
    devices: tuple[RigDevice, ...]

    @property
    def names(self) -> list[str]:
        return [device.name for device in self.devices]

    def find(self, name: str) -> RigDevice | None:
        return next((device for device in self.devices if device.name == name), None)

    def candidates(self, device: RigDevice, ports: Sequence[Port]) -> list[Port]:
        """The ports at which the device may be. None of them is another device's of the rig."""
        if device.usb_serial:
            return [port for port in ports if port.usb_serial == device.usb_serial]
        others = {other.usb_serial for other in self.devices if other.usb_serial}
        return [port for port in ports if port.usb_serial not in others]

    def ports_to_ask(self, device: RigDevice, ports: Sequence[Port]) -> list[Port]:
        """The candidates, where only their chip ids tell which of them is the device."""
        found = self.candidates(device, ports)
        known = device.usb_serial and len(found) < 2
        return [] if known or not device.chip_id else found

    def resolve(
        self, device: RigDevice, ports: Sequence[Port], hellos: Mapping[str, Hello]
    ) -> Port:
        """The device's port. hellos: what answers at `ports_to_ask`, by the port's name.

        Raises NoDevice when there is none, or more than one.
        """
        found = self.candidates(device, ports)
        by_chip = self.ports_to_ask(device, ports) or not device.usb_serial
        if by_chip:
            asked = [port for port in found if port.name in hellos]
            found = [port for port in asked if hellos[port.name].chip_id == device.chip_id]
            sign = f"answers with the chip id {device.chip_id}"
            more = "`ecedge devices --probe` says who answers, and why a port does not."
        else:
            sign = f"has the USB serial number {device.usb_serial}"
            more = "`ecedge devices` lists what is there."
        if not found:
            raise NoDevice(
                f"{device.name} is not there: no port {sign}.", f"Check cable and power; {more}"
            )
        if len(found) > 1:
            names = ", ".join(port.name for port in found)
            raise NoDevice(
                f"{device.name} may be any of {names}: each {sign}.",
                "Unplug the others." if by_chip else f"Give {device.name} its chip_id too.",
            )
        return found[0]


def parse_rig(text: str, where: str = "rig.toml") -> Rig:
    """The rig of a rig file's text. RigError: what is wrong, and what is allowed."""
    try:
        facts = tomllib.loads(text)
    except RecursionError:
        raise RigError(f"{where} is not TOML that can be read: it nests too deep.") from None
    except ValueError as error:  # also for numbers and dates that Python cannot hold
        raise RigError(f"{where} is not TOML: {f'{error}'.rstrip('.')}.") from error
    try:
        _known_keys(facts, "the top level", ("devices",))
        tables = _table(facts.get("devices", {}), "devices")
        if not tables:
            raise RigError("It names no device.", "Give it a table such as [devices.left].")
        devices = tuple(_parse_device(name, facts) for name, facts in tables.items())
        _check_duplicates(devices)
    except RigError as error:
        raise RigError(f"{where}: {error.message}", error.hint) from error
    return Rig(where, devices)


def _parse_device(name: str, facts) -> RigDevice:
    key = f"devices.{name}"
    if not NAME.fullmatch(name):
        raise RigError(
            f"{name!r} is no name for a device.",
            "Use up to 32 letters, digits, - and _, a letter first.",
        )
    if "emulate" in _table(facts, key):
        _known_keys(facts, key, ("emulate",))
        return RigDevice(name, emulate=_word(facts, key, "emulate"))
    _known_keys(facts, key, (*KEYS, "emulate"))
    if "board" not in facts:
        raise RigError(f"{key} lacks the key board.", "Or say emulate for a board started here.")
    if "usb_serial" not in facts and "chip_id" not in facts:
        raise RigError(
            f"{key} lacks usb_serial or chip_id, to find it by.", "`ecedge devices` tells them."
        )
    board = _word(facts, key, "board")
    if not board.isascii() or len(board) > HELLO_BOARD:
        raise RigError(f"{key}.board is {board!r}; it is ASCII, at most {HELLO_BOARD} letters.")
    return RigDevice(
        name,
        board,
        _word(facts, key, "usb_serial") if "usb_serial" in facts else "",
        _chip_id(facts, key) if "chip_id" in facts else "",
        _baud(facts, key, "baud"),
        _choice(facts, key, "on_open", ON_OPEN) if "on_open" in facts else "keep",
        fastest=_baud(facts, key, "fastest"),
    )


def _check_duplicates(devices: Sequence[RigDevice]) -> None:
    """No two devices may be found by the same sign. An adapter with several ports has one serial
    number for all: there the chip ids tell."""
    for number, device in enumerate(devices):
        for other in devices[:number]:
            if device.chip_id and device.chip_id == other.chip_id:
                raise RigError(f"{other.name} and {device.name} have the same chip_id.")
            both_told = device.chip_id and other.chip_id
            if device.usb_serial and device.usb_serial == other.usb_serial and not both_told:
                raise RigError(
                    f"{other.name} and {device.name} have the same usb_serial.",
                    "Give both their chip_id too.",
                )


def _table(value, key: str) -> dict:
    if not isinstance(value, dict):
        raise RigError(f"{key} is {value!r}; it is a table.")
    return value


def _known_keys(facts: dict, key: str, known: Sequence[str]) -> None:
    if unknown := [name for name in facts if name not in known]:
        raise RigError(f"{key} has the unknown key {unknown[0]!r}.", f"Keys: {', '.join(known)}.")


def _word(facts: dict, key: str, name: str) -> str:
    value = facts[name]
    if not isinstance(value, str) or not value or not value.isprintable():
        raise RigError(f"{key}.{name} is {value!r}; it is a text in quotes.")
    return value


def _choice(facts: dict, key: str, name: str, allowed: Sequence[str]) -> str:
    value = facts[name]
    if value not in allowed:
        words = " or ".join(f'"{word}"' for word in allowed)
        raise RigError(f"{key}.{name} is {value!r}; it is {words}.")
    return value


def _chip_id(facts: dict, key: str) -> str:
    value = _word(facts, key, "chip_id").lower()
    if not CHIP_ID.fullmatch(value):
        raise RigError(f"{key}.chip_id is {value!r}; it is 32 hexadecimal digits.")
    if not int(value, 16):
        raise RigError(
            f"{key}.chip_id is all zeros: the part has none.", "Name it by its usb_serial."
        )
    return value


def _baud(facts: dict, key: str, name: str) -> int | None:
    """A speed of the line; None where none is told."""
    value = facts.get(name)
    if value is not None and (type(value) is not int or value not in BAUDS):
        raise RigError(f"{key}.{name} is {value!r}; it is a whole number of {BAUDS.start} or more.")
    return value
