"""What object files and programs hold: sizes, references, stack frames. Reads ELF, runs nothing.

The firmware is compiled with one section a function and one a datum, so a section is the unit of
everything here: what the linker keeps, what it costs, whom it calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

#: relocations of call and jump instructions; all others take an address
CALLS = {
    "EM_ARM": {10, 28, 29, 30, 51, 102, 103},  # THM_CALL CALL JUMP24 THM_JUMP24/19/11/8
    "EM_X86_64": {4},  # PLT32
    "EM_AARCH64": {282, 283},  # JUMP26 CALL26
    "EM_RISCV": {18, 19},  # CALL CALL_PLT
    "EM_AVR": {3, 18},  # 13_PCREL (rcall, rjmp) CALL (call, jmp)
}
#: relocations within a function, or that stand beside another one: jumps, and lower halves
INNER = {
    "EM_RISCV": {16, 17, 24, 25, 27, 28, 43, 44, 45, 51},  # BRANCH JAL LO12 ALIGN RVC RELAX
    "EM_AVR": {2, 3, 18},  # 7_PCREL (branches) 13_PCREL CALL
}
DISCARDED = (".ARM.ex", ".eh_frame")  # tables for exceptions that C does not throw
KEPT = (".boot", ".vectors", ".isr_vector")  # what linker scripts keep unasked

SectionId = tuple[str, int]  # object file, index


@dataclass(frozen=True)
class Sizes:
    """Bytes: text lies in flash (code and constants), data in both, bss in RAM."""

    text: int = 0
    data: int = 0
    bss: int = 0

    @property
    def flash(self) -> int:
        return self.text + self.data

    @property
    def ram(self) -> int:
        """Static RAM; the stack comes on top."""
        return self.data + self.bss


@dataclass
class Section:
    """A section of an object file that ends up in memory.

    calls, takes, refers: sections that it jumps to, that it takes the address of, and all others
    that it needs (a symbol's name stands for what no object has). frame: the largest stack frame of
    its functions, None when unknown; dynamic: that is no bound.
    """

    name: str
    kind: str
    size: int
    functions: list[str] = field(default_factory=list)
    calls: set = field(default_factory=set)
    takes: set = field(default_factory=set)
    refers: set = field(default_factory=set)
    frame: int | None = None
    dynamic: bool = False


class Objects:
    """The object files of one program, with the references between them resolved."""

    def __init__(self, paths: Iterable[Path]):
        self.sections: dict[SectionId, Section] = {}
        self.globals: dict[str, SectionId] = {}
        for path in sorted(paths):
            self._read(path)
        for section in self.sections.values():
            for targets in (section.calls, section.takes, section.refers):
                resolved = {self.globals.get(target, target) for target in targets}
                targets.clear()
                targets |= resolved

    def live(self, entries: Iterable[str]) -> set[SectionId]:
        """The sections that --gc-sections keeps for these entry symbols."""
        pending = [self.globals[name] for name in entries if name in self.globals]
        pending += [key for key, section in self.sections.items() if section.name.startswith(KEPT)]
        seen: set[SectionId] = set()
        while pending:
            key = pending.pop()
            if key not in seen and key in self.sections:
                seen.add(key)
                section = self.sections[key]
                pending += section.calls | section.takes | section.refers
        return seen

    def sizes(self, keys: Iterable[SectionId]) -> Sizes:
        """What these sections need, each filled to 4 bytes."""
        total = {"text": 0, "data": 0, "bss": 0}
        for key in keys:
            section = self.sections[key]
            total[section.kind] += (section.size + 3) & ~3
        return Sizes(**total)

    def _read(self, path: Path) -> None:
        with path.open("rb") as file:
            elf = ELFFile(file)
            name = str(path)
            for index, section in enumerate(elf.iter_sections()):
                kind = _kind(section)
                if kind == "text" and _needs_ram(elf, section):
                    kind = "data"
                if kind:
                    self.sections[name, index] = Section(section.name, kind, section["sh_size"])
            symbols = list(elf.get_section_by_name(".symtab").iter_symbols())
            homes = self._read_symbols(name, symbols)
            self._read_references(name, elf, symbols, homes)
            frames = _su_frames(path.with_suffix(".su"))
            for key, section in self.sections.items():
                if key[0] == name:
                    _set_frame(section, frames)
            self._read_stack_sizes(name, elf)
            self._join_cold_parts(symbols, homes)

    def _read_symbols(self, name: str, symbols: list) -> list:
        """The section of every symbol, or the symbol's name where it is not in this object."""
        homes = []
        for symbol in symbols:
            index = symbol["st_shndx"]
            home = (name, index) if isinstance(index, int) else symbol.name
            homes.append(home)
            if home not in self.sections:
                continue
            if symbol["st_info"]["type"] == "STT_FUNC":
                self.sections[home].functions.append(symbol.name)
            if symbol["st_info"]["bind"] != "STB_LOCAL":
                self.globals.setdefault(symbol.name, home)
        return homes

    def _read_references(self, name: str, elf: ELFFile, symbols: list, homes: list) -> None:
        calls = CALLS.get(elf["e_machine"], set())
        inner = INNER.get(elf["e_machine"], set())
        for relocations in elf.iter_sections():
            if not isinstance(relocations, RelocationSection):
                continue
            holder = self.sections.get((name, relocations["sh_info"]))
            if holder is None:
                continue
            code = elf.get_section(relocations["sh_info"]).data()
            for relocation in relocations.iter_relocations():
                index = relocation["r_info_sym"]
                kind = relocation["r_info_type"]
                if not homes[index]:
                    continue
                if kind in inner and homes[index] == (name, relocations["sh_info"]):
                    continue
                if kind in calls or _is_x86_call(elf, relocation, code):
                    holder.calls.add(homes[index])
                elif _means_entry(symbols[index], relocation):
                    holder.takes.add(homes[index])
                else:
                    holder.refers.add(homes[index])

    def _join_cold_parts(self, symbols: list, homes: list) -> None:
        """gcc splits the unlikely part of foo off as foo.cold; it runs in foo's frame."""
        pairs = zip(symbols, homes, strict=True)
        by_name = {symbol.name: home for symbol, home in pairs if home in self.sections}
        for name, home in by_name.items():
            whole = by_name.get(name.removesuffix(".cold"), home)
            if whole == home:
                continue
            part, main = self.sections[home], self.sections[whole]
            main.calls |= part.calls - {whole}
            main.takes |= part.takes - {whole}
            main.refers |= (part.refers | {home}) - {whole}
            main.calls.discard(home)
            main.takes.discard(home)
            part.calls, part.takes, part.refers = set(), set(), set()
            part.frame = 0

    def _read_stack_sizes(self, name: str, elf: ELFFile) -> None:
        """clang's -fstack-size-section: an address and a ULEB128 for each function. The section is
        tied to that of the code, or has its name behind its own: core/ec_asm.h."""
        word = elf.elfclass // 8
        for section in elf.iter_sections():
            if not section.name.startswith(".stack_sizes"):
                continue
            code = elf.get_section_index(section.name.removeprefix(".stack_sizes"))
            owner = self.sections.get((name, code or section["sh_link"]))
            if owner is None:
                continue
            data = section.data()
            while len(data) > word:
                size, shift, used = 0, 0, word
                while True:
                    size |= (data[used] & 0x7F) << shift
                    shift, used = shift + 7, used + 1
                    if data[used - 1] < 0x80:
                        break
                owner.frame = max(size, owner.frame or 0)
                data = data[used:]


def program_sizes(path: Path) -> Sizes:
    """Exact sizes of a linked program, as `size` prints them."""
    total = {"text": 0, "data": 0, "bss": 0}
    with path.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            kind = _kind(section, discarded=())
            if kind:
                total[kind] += section["sh_size"]
    return Sizes(**total)


def program_image(path: Path) -> tuple[int, bytes]:
    """(address, bytes) of what a linked program puts into flash; holes are zeros."""
    with path.open("rb") as file:
        parts = {
            segment["p_paddr"]: segment.data()
            for segment in ELFFile(file).iter_segments("PT_LOAD")
            if segment["p_filesz"]
        }
    origin = min(parts)
    image = bytearray(max(address + len(data) for address, data in parts.items()) - origin)
    for address, data in parts.items():
        image[address - origin : address - origin + len(data)] = data
    return origin, bytes(image)


def _kind(section, discarded: tuple[str, ...] = DISCARDED) -> str | None:
    flags = section["sh_flags"]
    if not flags & SH_FLAGS.SHF_ALLOC or (discarded and section.name.startswith(discarded)):
        return None
    if section["sh_type"] == "SHT_NOBITS":
        return "bss"
    return "data" if flags & SH_FLAGS.SHF_WRITE else "text"


def _needs_ram(elf: ELFFile, section) -> bool:
    """Whether constants are copied to RAM: an AVR reads no data from flash."""
    return elf["e_machine"] == "EM_AVR" and section.name.startswith(".rodata")


def _is_x86_call(elf: ELFFile, relocation, code: bytes) -> bool:
    """A local function is called through PC32, which addresses use too: the opcode tells."""
    if elf["e_machine"] != "EM_X86_64" or relocation["r_info_type"] != 2:
        return False
    before = code[relocation["r_offset"] - 2 : relocation["r_offset"]]
    call_or_jump = before[1:] in (b"\xe8", b"\xe9")
    return call_or_jump or (before[:1] == b"\x0f" and 0x80 <= before[-1] <= 0x8F)


def _means_entry(symbol, relocation) -> bool:
    """Whether the address taken can be a function's beginning: a jump table's are inside."""
    if symbol.name.startswith(".L"):  # a place within a function, which RISC-V keeps a name for
        return False
    if symbol["st_info"]["type"] != "STT_SECTION" or not relocation.is_RELA():
        return True
    return relocation["r_addend"] in (0, -4)  # -4: x86 counts from the instruction's end


def _su_frames(path: Path) -> dict[str, tuple[int, bool]]:
    """-fstack-usage: function -> (bytes, whether that is no bound)."""
    frames = {}
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            place, size, qualifiers = line.split("\t")
            function = place.rsplit(":", 1)[1]
            unbounded = "dynamic" in qualifiers and "bounded" not in qualifiers
            frames[function] = (int(size), unbounded)
    return frames


def _set_frame(section: Section, frames: dict[str, tuple[int, bool]]) -> None:
    for function in section.functions:
        # A clone (foo.part.0) may be listed without its number, or under what it was cut from.
        names = (function, function.rpartition(".")[0], function.split(".")[0])
        known = next((frames[name] for name in names if name in frames), None)
        if known:
            section.frame = max(known[0], section.frame or 0)
            section.dynamic |= known[1]
