"""The boards that ecedge knows: one folder with a `board.toml` of facts each, validated once."""

from __future__ import annotations

import sys
import tomllib
import types
import typing
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path

from ..errors import BoardError, ToolError, UsageError
from ..model import LIMITS, NetworkSpec

HOST_CORE = "host"
MIN_PAYLOAD = 96  # docs/LINK.md: every device takes at least this


@dataclass(frozen=True)
class Architecture:
    """A folder of `firmware/cpu` and its compilers.

    cores: how the names of its cores begin. gcc, package: the compiler and what brings it on
    Debian. zig_target: of the compiler in the package ziglang, None where it links nothing.
    exception_frame: bytes that the core itself pushes for an interrupt. reads_flash: whether data
    can be read from flash where they lie; else constants take RAM, and the policy a copy in it.
    """

    name: str
    cores: str
    gcc: str
    package: str
    zig_target: str | None
    exception_frame: int
    reads_flash: bool = True


ARCHITECTURES = (
    Architecture(
        name="cortex-m",
        cores="cortex-m",
        gcc="arm-none-eabi-gcc",
        package="gcc-arm-none-eabi",
        zig_target="thumb-freestanding-eabi",
        exception_frame=36,  # 8 words and the filling to 8 bytes
    ),
    Architecture(
        name="riscv",
        cores="rv32",
        gcc="riscv64-unknown-elf-gcc",
        package="gcc-riscv64-unknown-elf",
        zig_target="riscv32-freestanding-none",
        exception_frame=0,  # the handler saves what it uses
    ),
    Architecture(
        name="avr",
        cores="avr",
        gcc="avr-gcc",
        package="gcc-avr",
        zig_target=None,
        exception_frame=0,  # the frames of functions count the address that a call pushes
        reads_flash=False,
    ),
)


@dataclass(frozen=True)
class Region:
    """Memory of the part, in bytes."""

    origin: int
    length: int


@dataclass(frozen=True)
class Snapshots:
    """Flash that is kept for what a device learned: pages of `page` bytes, which are erased as a
    whole; behind the part's [flash]. No pages: the board keeps none."""

    origin: int = 0
    page: int = 0
    pages: int = 0


@dataclass(frozen=True)
class Capacity:
    """What a firmware has room for: bytes in a request, the largest network, bytes for a policy."""

    max_payload: int
    obs: int
    act: int
    neurons: int
    policy_ram: int

    def __post_init__(self):
        for name, limit in {"obs": "n_obs", "act": "n_act", "neurons": "n_neurons"}.items():
            low, high = LIMITS[limit]
            if not low <= getattr(self, name) <= high:
                raise BoardError(
                    f"A capacity of {getattr(self, name)} {name} is impossible; "
                    f"allowed is {low} to {high}."
                )
        if self.max_payload < max(MIN_PAYLOAD, 2 * self.obs) or self.max_payload > 0xFFFF:
            raise BoardError(
                f"A capacity of {self.max_payload} bytes in a request is impossible; allowed is "
                f"{max(MIN_PAYLOAD, 2 * self.obs)} (for {self.obs} observations) to {0xFFFF}."
            )
        if self.policy_ram < 0 or self.policy_ram % 4:
            raise BoardError(
                f"{self.policy_ram} bytes of RAM for a policy are impossible; "
                "it must be a multiple of 4."
            )

    def running(self, spec: NetworkSpec) -> Capacity:
        """This capacity, raised to what the network needs whose image is built in, in flash."""
        return Capacity(
            max(self.max_payload, 2 * spec.n_obs),
            max(self.obs, spec.n_obs),
            max(self.act, spec.n_act),
            max(self.neurons, spec.n_neurons),
            self.policy_ram,
        )

    def holding(self, spec: NetworkSpec) -> Capacity:
        """The same, and room for the network as an upload."""
        return replace(self.running(spec), policy_ram=max(self.policy_ram, spec.image_size))


@dataclass(frozen=True)
class Emulator:
    """How to run the firmware without the board.

    kind: "qemu"; "listener" for another emulator whose UART listens on a TCP port; "process" where
    the firmware is a program of this machine. args: the command, a template: {elf} is the firmware,
    {serial} QEMU's chardev for the UART, {port} the TCP port, {python} this Python, {host} the
    folder of that name. package: what gives the program on Debian. needs: a file that must be there
    besides, get: the command that makes it; {host} is as above. prepare: a command, with {host},
    that makes the emulator ready, quickly if it is, or fails and tells what is missing.
    """

    kind: str
    args: tuple[str, ...]
    package: str = ""
    needs: str = ""
    get: str = ""
    prepare: tuple[str, ...] = ()

    PLACES = {
        "qemu": {"{elf}", "{serial}"},
        "listener": {"{elf}", "{port}"},
        "process": {"{elf}"},
    }

    def __post_init__(self):
        if self.kind not in self.PLACES:
            kinds = ", ".join(self.PLACES)
            raise BoardError(f'The emulator kind "{self.kind}" is none of {kinds}.')
        if missing := sorted(p for p in self.PLACES[self.kind] if p not in " ".join(self.args)):
            raise BoardError(f"The emulator's args lack {missing[0]}.")

    @property
    def program(self) -> str:
        """What must be installed."""
        return self.command("")[0]

    def command(self, elf: str, port: int = 0, host: str = "host") -> list[str]:
        """The words to run: port: of TCP, for the line; host: the folder with ecedge's runners."""
        serial = qemu_serial(port)
        places = dict(elf=elf, serial=serial, port=port, host=host, python=sys.executable)
        return [word.format(**places) for word in self.args]


@dataclass(frozen=True)
class Power:
    """What the part typically draws while its core computes and its peripherals are off.

    active_ma, volts: of its supply, at clock_hz. source: the table of which data sheet says so.
    """

    active_ma: float
    volts: float
    clock_hz: int
    source: str

    MOST = {"active_ma": 1000, "volts": 6, "clock_hz": 1_000_000_000}

    def __post_init__(self):
        for name, most in self.MOST.items():
            if not 0 < getattr(self, name) <= most:
                raise BoardError(
                    f"A power with {name} = {getattr(self, name):g} is impossible; "
                    f"allowed is more than 0, to {most:,}."
                )
        if not self.source.strip():
            raise BoardError("A power without a source is a guess; name the data sheet's table.")

    def joules(self, cycles: float) -> float:
        """Of so many cycles at any clock: each is taken to cost what it does at clock_hz."""
        return self.active_ma / 1e3 * self.volts * cycles / self.clock_hz


@dataclass(frozen=True)
class Board:
    """The facts of `firmware/boards/<name>/board.toml`. Sizes in bytes, rates in Hz.

    core: "cortex-m4f" and the like, or "host". kernels: folders of `firmware/kernels` whose
    files stand in for those of the core, each for those before it. cpu_flags: gcc's for the core.
    flasher: what puts an image on the board, "none" where nothing does. stack: RAM kept for it.
    uf2_family: the chip, for the flasher "uf2". power: None where no data sheet was found.
    flash and ram are None where nothing limits them. baud: 0 for a line that costs no time.
    """

    name: str
    title: str
    page: str
    core: str
    port: str
    clock_hz: int
    tick_hz: int
    baud: int
    limits: Capacity
    kernels: tuple[str, ...] = ()
    cpu_flags: tuple[str, ...] = ()
    stack: int = 0
    flash: Region | None = None
    ram: Region | None = None
    emulator: Emulator | None = None
    flasher: str = "none"
    uf2_family: int = 0
    power: Power | None = None
    snapshots: Snapshots = Snapshots()
    folder: Path = field(default=Path(), compare=False)

    @property
    def is_host(self) -> bool:
        """Whether the firmware is a process on this machine."""
        return self.core == HOST_CORE

    @property
    def architecture(self) -> Architecture | None:
        """None where the firmware is a process of this machine."""
        return next((a for a in ARCHITECTURES if self.core.startswith(a.cores)), None)

    @property
    def port_folder(self) -> Path:
        """The sources of its port: `ec_port.h` for the host, `bare.h` for a chip."""
        root = self.folder.parents[2]
        return root / "host/vdev" if self.is_host else root / "firmware/ports" / self.port


def qemu_serial(port: int) -> str:
    """QEMU's chardev for a UART on a TCP port of this machine; it starts when a host connects."""
    return f"tcp:127.0.0.1:{port},server=on,wait=on,nodelay=on"


@cache
def sources_root() -> Path:
    """The folder that holds `firmware/` and `host/`: the checkout, else the installed package."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent, package / "_sources"):
        if (root / "firmware/boards").is_dir():
            return root
    raise ToolError(
        "The firmware's sources are not part of this installation.",
        "Install ecedge again from its wheel, or use a checkout.",
    )


def board_names(root: Path | None = None) -> list[str]:
    """The boards under `root`/firmware/boards, sorted."""
    folder = (root or sources_root()) / "firmware/boards"
    return sorted(path.parent.name for path in folder.glob("*/board.toml"))


def find_board(name: str, root: Path | None = None) -> Board:
    """The board of that name; BoardError lists the known ones, or says what is wrong with it."""
    root = root or sources_root()
    known = board_names(root)
    if name not in known:
        raise BoardError(f'There is no board "{name}".', f"Known boards: {', '.join(known)}.")
    return _read_board(root / "firmware/boards" / name)


def plant_names(root: Path | None = None) -> list[str]:
    """The plants under `root`/firmware/plants, sorted."""
    folder = (root or sources_root()) / "firmware/plants"
    return sorted(path.stem for path in folder.glob("*.c"))


def find_plant(name: str, root: Path | None = None) -> Path:
    """The C file of a plant on the device's side: of that name, or a path that ends in .c.

    Raises UsageError that lists the known ones.
    """
    path = Path(name)
    if path.suffix == ".c":
        if path.is_file():
            return path
        raise UsageError(f"There is no file {name}.", "docs/PLANT.md tells how one looks.")
    root = root or sources_root()
    known = plant_names(root)
    if name not in known:
        raise UsageError(
            f'There is no plant "{name}".',
            f"Known plants: {', '.join(known)}; or give a C file of your own: docs/PLANT.md.",
        )
    return root / "firmware/plants" / f"{name}.c"


@cache
def _read_board(folder: Path) -> Board:
    path = folder / "board.toml"
    where = f"boards/{folder.name}/board.toml"
    try:
        facts = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BoardError(f"{where} cannot be read: {error}.") from error
    board = _parse(Board, facts | {"folder": folder}, where)
    if board.name != folder.name:
        raise BoardError(f'{where} names the board "{board.name}"; its folder must be called so.')
    if not board.is_host and not (board.flash and board.ram and board.stack):
        raise BoardError(f"{where} must tell [flash], [ram] and stack.")
    if not board.is_host and board.architecture is None:
        raise BoardError(f'{where} names the core "{board.core}", of no known architecture.')
    if (board.flasher == "uf2") != bool(board.uf2_family):
        raise BoardError(f'{where} must tell uf2_family with the flasher "uf2", and not else.')
    if not board.port_folder.is_dir():
        raise BoardError(f'{where} names the port "{board.port}", which does not exist.')
    return board


def _parse(kind: type, table: dict, where: str):
    """A dataclass from a TOML table: no unknown key, none missing, every type right."""
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(table.keys() - known.keys()):
        raise BoardError(f"{where} has the unknown key {unknown[0]}.", f"Keys: {', '.join(known)}.")
    hints = typing.get_type_hints(kind)
    values = {}
    for name, f in known.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], f"{where}: {name}")
        elif f.default is MISSING:
            raise BoardError(f"{where} lacks the key {name}.")
    try:
        return kind(**values)
    except BoardError as error:
        raise BoardError(f"{where}: {error.message}", error.hint) from error


def _convert(hint, value, where: str):
    if isinstance(hint, types.UnionType):  # "X | None": TOML has no None
        hint = hint.__args__[0]
    if is_dataclass(hint) and isinstance(value, dict):
        return _parse(hint, value, where)
    if hint == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise BoardError(f"{where} must be a list of strings.")
    if isinstance(hint, type) and isinstance(value, hint) and not isinstance(value, bool):
        return value
    raise BoardError(f"{where} must be {getattr(hint, '__name__', hint)}, not {value!r}.")
