"""Who may know whom: the table of folders, held by C's includes and Python's imports."""

import ast
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ecedge.boards import board_names

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ecedge"
CORE = ROOT / "firmware/core"
DEADLINE = 60.0  # seconds for anything that a process does here

# --- C: folder -> headers of other folders, and of the system -------------------------------

FREESTANDING = {"stdint.h", "stddef.h", "stdbool.h"}
GENERATED = {"ec_config.h", "policy.h"}
ANY_SYSTEM_HEADER = None

INCLUDES = {
    "firmware/core": (set(), FREESTANDING),
    "firmware/app": ({"ec_device.h", *GENERATED}, FREESTANDING),
    "firmware/plants": ({"ec_rig.h", "ec_random.h"}, FREESTANDING),
    "firmware/kernels/*": (
        {
            "ec_crc.h",
            "ec_kernel.h",
            "ec_fast.h",
            "ec_asm.h",
            "ec_adders.h",
            "ec_config.h",
            "ec_handler.h",
        },
        FREESTANDING,
    ),
    "firmware/bare": ({"ec_port.h", "ec_device.h", "ec_config.h"}, FREESTANDING),
    "firmware/cpu/*": ({"bare.h", "chip.h", "ec_asm.h"}, FREESTANDING),
    "firmware/ports/*": ({"avr.h", "bare.h", "board.h", "cortex.h", "riscv.h"}, FREESTANDING),
    "firmware/boards/*": (set(), FREESTANDING),
    "host/batch": ({"ec_base.h", "ec_limit.h", "ec_policy.h", "ec_random.h"}, ANY_SYSTEM_HEADER),
    "host/simavr": (set(), ANY_SYSTEM_HEADER),
    "host/vdev": ({"ec_port.h", "ec_device.h", "ec_config.h"}, ANY_SYSTEM_HEADER),
}
C_FOLDERS = [
    pytest.param(folder, *allowed, id=str(folder.relative_to(ROOT)))
    for pattern, allowed in INCLUDES.items()
    for folder in sorted(ROOT.glob(pattern))
    if folder.is_dir()
]


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".c", ".h", ".S"))


def code_of(path: Path) -> str:
    """C without its comments and strings."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", path.read_text(), flags=re.DOTALL)
    return re.sub(r'(?<!include )"(\\.|[^"\\\n])*"', '""', text)


def includes(path: Path) -> tuple[set[str], set[str]]:
    """Headers in quotes and in angle brackets."""
    found = re.findall(r'^\s*#\s*include\s*(["<])([^">]+)[">]', path.read_text(), re.MULTILINE)
    quoted = {name for mark, name in found if mark == '"'}
    return quoted, {name for mark, name in found if mark == "<"}


@pytest.mark.parametrize("folder, others, system", C_FOLDERS)
def test_a_folder_includes_what_it_may_know(folder, others, system):
    own = {path.name for path in folder.iterdir()}
    for path in sources(folder):
        quoted, angled = includes(path)
        assert quoted - own - others == set(), path
        if system is not ANY_SYSTEM_HEADER:
            assert angled - system == set(), path


def test_every_folder_of_c_has_its_line():
    known = {param.values[0] for param in C_FOLDERS}
    for top in ("firmware", "host"):
        for path in sources(ROOT / top):
            assert known & set(path.parents), f"{path} is in no folder of the table"


def test_boards_are_named_in_their_own_folders_alone():
    names = [name for name in board_names() if name != "virtual"]
    folders = ("core", "app", "bare", "cpu", "ports")
    for folder in (*(f"firmware/{name}" for name in folders), "host"):
        for path in sources(ROOT / folder):
            chosen = re.search(r"^\s*#\s*(el)?if.*\bBOARD_", code_of(path), re.MULTILINE)
            assert not chosen, path
            assert [name for name in names if name in path.read_text()] == [], path


COMPILERS = {
    "host": (["cc"], "nm", "gcc"),
    "cortex-m0": (
        ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb"],
        "arm-none-eabi-nm",
        "gcc-arm-none-eabi",
    ),
    "rv32imac": (
        ["riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32"],
        "riscv64-unknown-elf-nm",
        "gcc-riscv64-unknown-elf",
    ),
}
every_compiler = pytest.mark.parametrize(
    "target",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not shutil.which(command[0]), reason=f"apt-get install {package}"
            ),
        )
        for name, (command, _, package) in COMPILERS.items()
    ],
)

#: what a freestanding compiler may call by itself: memory, and integers wider than the chip's
HELPERS = re.compile(
    r"mem(cpy|set|move|cmp)|__aeabi_(u?[il]div(mod)?|l(mul|lsl|lsr|asr|cmp)|ulcmp"
    r"|mem(cpy|set|clr|move)[48]?)|__gnu_thumb1_case_\w+|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_"
)


def symbols(folder: Path, target: str) -> dict[str, set[str]]:
    """nm's letter: names, over all objects of the core."""
    command, nm, _ = COMPILERS[target]
    paths = [str(path) for path in CORE.glob("*.c")]
    flags = ["-std=c99", "-Os", "-ffreestanding", "-fno-stack-protector", "-c", f"-I{CORE}"]
    subprocess.run([*command, *flags, *paths], cwd=folder, check=True, timeout=DEADLINE)
    objects = [str(path) for path in folder.glob("*.o")]
    out = subprocess.run(
        [nm, *objects], capture_output=True, text=True, check=True, timeout=DEADLINE
    ).stdout
    found: dict[str, set[str]] = {}
    for letter, name in re.findall(r"^[0-9a-f ]* ([A-Za-z]) (\S+)$", out, re.MULTILINE):
        found.setdefault(letter, set()).add(name)
    return found


@every_compiler
def test_the_core_needs_nothing_that_a_freestanding_compiler_does_not_bring(tmp_path, target):
    found = symbols(tmp_path, target)
    assert "ec_net_step" in found["T"]
    missing = found.get("U", set()) - found["T"] - found.get("R", set())
    assert {name for name in missing if not HELPERS.fullmatch(name)} == set()


@every_compiler
def test_the_core_holds_no_globals(tmp_path, target):
    found = symbols(tmp_path, target)
    variables = set().union(*(found.get(letter, set()) for letter in "BbDdCGgSsVv"))
    assert variables == set()


@every_compiler
def test_the_core_has_one_prefix(tmp_path, target):
    assert {n for n in symbols(tmp_path, target)["T"] if not n.startswith("ec_")} == set()


def test_the_core_names_no_float():
    for path in sources(CORE):
        code = code_of(path)
        assert not re.search(r"\b(float|double|_Complex|long\s+double)\b", code), path
        assert not re.search(r"\b\d+\.\d*([eE][-+]?\d+)?[fFlL]?\b|\b\d+[eE][-+]?\d+\b", code), path


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not shutil.which("gcc"), reason="needs gcc on x86-64"
)
def test_the_core_compiles_without_float_registers(tmp_path):
    paths = [str(path) for path in CORE.glob("*.c")]
    command = ["gcc", "-std=c99", "-O2", "-mgeneral-regs-only", "-c", f"-I{CORE}", *paths]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 0, result.stderr


# --- Python: unit -> the units that it may import -------------------------------------------

IMPORTS = {
    "ecedge": {"version"},
    "version": set(),
    "errors": set(),
    "model": {"errors"},
    "storage": {"errors"},
    "reference": {"errors", "model"},
    "engine": {"errors", "model"},
    "tasks": {"errors", "model"},
    "evolution": {"errors", "model", "reference", "engine"},
    "export": {"errors", "model", "storage", "version", "boards"},
    "policy_file": {"ecedge", "errors", "model", "reference", "storage", "version", "export"},
    "training": {
        "errors", "model", "storage", "reference", "engine", "tasks", "evolution", "policy_file",
        "version",
    },
    "boards": {"errors", "model", "storage", "export"},
    "link": {"errors", "model"},
    "rig": {"errors", "link"},
    "plants": {"model", "reference"},
    "devices": {"errors", "model", "storage", "boards", "link", "rig"},
    "rig_env": {"errors", "model", "link", "tasks"},
    "hil": {"errors", "model", "engine", "link", "tasks", "rig_env"},
    "clocked": {"errors", "model", "link", "hil", "plants"},
    "tracks": {"errors", "model", "link", "hil", "tasks"},
    "evolve": {
        "errors", "model", "storage", "reference", "engine", "tasks", "policy_file", "training",
        "link", "hil", "plants", "clocked", "fleet",
    },
    "fleet": {"errors", "model", "devices", "hil", "link", "rig", "tasks", "training"},
    "report": {"errors", "model", "storage", "version", "policy_file", "link", "hil"},
    "film": {"errors", "model", "storage", "reference", "tasks"},
    "testrun": {
        "errors", "model", "storage", "version", "reference", "tasks", "link", "rig", "devices",
        "hil", "film",
    },
    "cli": {
        "errors", "model", "version", "reference", "engine", "tasks", "training", "policy_file",
        "export", "boards", "link", "devices", "hil", "plants", "clocked", "tracks", "report",
        "film", "testrun", "fleet", "evolve",
    },
    "pytest_plugin": {"errors", "model", "boards", "link", "devices", "testrun"},
    "__main__": {"cli"},
}  # fmt: skip

#: package: the modules that may import it
PACKAGES = {
    "numpy": {"*"},
    "PIL": {"film"},
    "_cffi_backend": {"engine"},
    "cobs": {"link.codec"},
    "elftools": {"boards.objects"},
    "google": {"policy_file"},
    "gymnasium": {"tasks", "rig_env"},
    "mujoco": {"tasks"},
    "imageio_ffmpeg": {"film"},
    "jinja2": {"report", "testrun.page"},
    "matplotlib": {"training.curve", "report", "testrun.page"},
    "onnx": {"export.onnx", "policy_file"},
    "onnxruntime": {"policy_file"},
    "ray": {"training.cluster"},
    "pytest": {"pytest_plugin"},
    "rich": {"cli"},
    "serial": {"link.transport"},
    "tensorboardX": {"training.events"},
    "typer": {"cli"},
    "xdist": {"pytest_plugin"},
    "ziglang": set(),  # run, never imported
}

MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if "_sources" not in path.parts
)
every_module = pytest.mark.parametrize("module", MODULES)


def imports(module: str) -> set[str]:
    """Absolute names of all that a module of ecedge imports, wherever it does so."""
    base = PACKAGE if module == "__init__" else PACKAGE / module.replace(".", "/")
    is_package = base.is_dir()
    path = base / "__init__.py" if is_package else base.with_suffix(".py")
    here = ["ecedge", *([] if module == "__init__" else module.split("."))]
    package = here if is_package else here[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            # "from . import x" may name a module as well as what a module holds
            found |= {f"{source}.{alias.name}" for alias in node.names} if source else set()
    return found


def unit(name: str) -> str:
    """The unit of "ecedge.unit.more"; names that `ecedge` itself holds belong to "ecedge"."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in IMPORTS else "ecedge"


@every_module
def test_a_module_imports_what_its_unit_may_know(module):
    own = "ecedge" if module == "__init__" else module.split(".")[0]
    ours = {unit(name) for name in imports(module) if name.split(".")[0] == "ecedge"}
    assert ours - {own} - IMPORTS[own] == set()


@every_module
def test_a_package_stays_in_the_module_that_needs_it(module):
    for name in imports(module):
        package = name.split(".")[0]
        if package == "ecedge" or package in sys.stdlib_module_names:
            continue
        assert package in PACKAGES, f"{module} imports {package}, which has no line in the table"
        allowed = PACKAGES[package]
        assert "*" in allowed or any(
            module == home or module.startswith(f"{home}.") for home in allowed
        ), f"{module} imports {package}"


@every_module
def test_a_private_module_is_its_packages_own(module):
    for name in imports(module):
        parts = name.split(".")
        private = [i for i, part in enumerate(parts) if i and re.fullmatch(r"_[a-z]\w*", part)]
        if parts[0] == "ecedge" and private:
            home = ".".join(parts[1 : private[0]])
            assert module == home or module.startswith(f"{home}."), f"{module} imports {name}"


def test_imports_of_the_table_make_no_circle():
    # Boards and export know each other's facts and project; their modules do not.
    open_units = {name: set(needs) for name, needs in IMPORTS.items()}
    open_units["export"] -= {"boards"}
    while open_units:
        free = {name for name, needs in open_units.items() if not needs & open_units.keys()}
        assert free, f"these import each other: {sorted(open_units)}"
        open_units = {name: needs for name, needs in open_units.items() if name not in free}


# --- what an import costs -------------------------------------------------------------------

HEAVY = {
    "PIL", "gymnasium", "imageio_ffmpeg", "jinja2", "matplotlib", "mujoco", "onnx", "onnxruntime",
    "ray", "serial", "tensorboardX",
}  # fmt: skip


def python(code: str, *words: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    return set(json.loads(python(code).splitlines()[-1]))


def test_import_ecedge_loads_nothing_else():
    ours = {name for name in loaded_by("import ecedge") if name.startswith("ecedge")}
    assert ours == {"ecedge", "ecedge.version"}
    assert not loaded_by("import ecedge") & {*HEAVY, "numpy"}


@pytest.mark.parametrize(
    "name",
    [
        *"cli devices engine evolution hil link policy_file pytest_plugin rig tasks".split(),
        "testrun",
    ],
)
def test_heavy_packages_are_loaded_when_they_are_needed(name):
    assert loaded_by(f"import ecedge.{name}") & HEAVY == set()


def test_help_loads_no_heavy_package():
    statement = (
        "import ecedge.cli, contextlib, io\n"
        "sys.argv = ['ecedge', '--help']\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    ecedge.cli.main()"
    )
    assert loaded_by(statement) & HEAVY == set()


@pytest.mark.parametrize("statement, seconds", [("import ecedge", 0.1), ("import ecedge.cli", 1.0)])
def test_imports_are_quick(statement, seconds):
    code = f"import time\nt = time.process_time()\n{statement}\nprint(time.process_time() - t)"
    assert min(float(python(code)) for _ in range(3)) < seconds
