"""The engine's kernels on processors that this machine is not, and under the sanitizers."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "host"))
import native  # noqa: E402

ZIG = [sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=all"]
CORTEX_M = {  # and the folders of its kernels, the later before the earlier
    "cortex_m0": ("armv6m",),
    "cortex_m3": ("armv7m",),
    "cortex_m4": ("armv7m", "armv7em"),
}
#: With Debian's C library: zig would first make its own, in a minute and a half of a core.
ARM = ["arm-linux-gnueabi-gcc", "-marm", "-O1"]


def build(
    folder: Path, compiler: list[str], flags: tuple[str, ...] = (), x86: bool = False
) -> Path:
    """tests/c/test_batch.c with the library's own sources and flags."""
    objects = []
    kernels = [native.BATCH / f"{kernel}.c" for kernel in native.KERNEL_FLAGS] if x86 else []
    for source in (*native.SOURCES, *kernels, ROOT / "tests/c/test_batch.c"):
        made = folder / f"{source.stem}.o"
        instructions = native.KERNEL_FLAGS.get(source.stem, "").split()
        includes = [f"-I{native.CORE}", f"-I{native.BATCH}"]
        command = [*compiler, *native.FLAGS, *flags, *instructions, *includes]
        subprocess.run([*command, "-c", source, "-o", made], check=True, timeout=300)
        objects.append(made)
    program = folder / "test_batch"
    command = [*compiler, *flags, "-pthread", *objects, "-o", program]
    subprocess.run(command, check=True, timeout=300)
    return program


def run(command: list) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("compiler", "emulator", "kernel"),
    [(["aarch64-linux-gnu-gcc"], "qemu-aarch64", "neon"), (ARM, "qemu-arm", "plain")],
)
def test_kernel_equals_the_core_on_another_architecture(tmp_path, compiler, emulator, kernel):
    assert shutil.which(emulator), f"{emulator} is missing: apt-get install qemu-user"
    program = build(tmp_path, compiler, ("-static",))
    assert f"{kernel}: 150 control steps equal" in run([emulator, program, "30"])


def test_kernels_of_this_machine_are_clean_under_the_sanitizers(tmp_path):
    flags = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    from ecedge.engine import kernels

    output = run([build(tmp_path, ["gcc"], flags, x86="sse2" in kernels()), "40"])
    for kernel in kernels():
        assert f"{kernel}: 200 control steps equal" in output


@pytest.fixture(scope="module", params=CORTEX_M)
def thumb(request, tmp_path_factory):
    """Compiles the core's C for Linux on ARM, and for a Cortex-M kernels, which run there, too."""
    folder = tmp_path_factory.mktemp(request.param)
    cortex = [*ZIG, "-target", "thumb-freestanding-eabi", f"-mcpu={request.param}", "-O1"]

    def compiled(source: Path, *flags: str, compiler: list[str] = ARM) -> Path:
        made = folder / f"{len(list(folder.iterdir()))}.o"
        command = [*compiler, "-g0", f"-I{native.CORE}", *flags, "-c", source, "-o", made]
        subprocess.run(command, check=True, timeout=300)
        return made

    folders = [ROOT / "firmware/kernels" / name for name in CORTEX_M[request.param]]
    includes = [f"-I{place}" for place in folders]

    def kernel(name: str, *flags: str) -> list[Path]:
        """The file of that name in the last of the folders that has one."""
        found = [path for place in folders for path in place.glob(f"{name}.[cS]")]
        return [compiled(path, *flags, *includes, compiler=cortex) for path in found[-1:]]

    def both(name: str, functions: tuple[str, ...], *flags: str) -> list[Path]:
        """The kernel's or, without one, the core's; and the core's as core_...."""
        core = native.CORE / f"{name}.c"
        renamed = [f"-D{function}={function.replace('ec_', 'core_')}" for function in functions]
        used = kernel(name, *flags) or [compiled(core, *flags)]
        return [*used, compiled(core, *flags, *renamed)]

    def known(header: str) -> tuple[str, ...]:
        """Flags that let C see the header of a kernel, not the core's of that name."""
        return tuple(f"-include{path}" for place in folders for path in place.glob(header))

    return SimpleNamespace(compiled=compiled, kernel=kernel, both=both, known=known)


@pytest.fixture(scope="module")
def unchanging(thumb):
    lanes = ("ec_update_group", "ec_lanes_put", "ec_lanes_get", "ec_lanes_put_drive")
    return [
        thumb.compiled(ROOT / "tests/c/test_assembly.c", *thumb.known("ec_step_few.h")),
        thumb.compiled(native.CORE / "ec_random.c"),
        *thumb.both("ec_add_few", ("ec_add_few",)),
        *thumb.both("ec_list", ("ec_list_rows",)),
        *thumb.both("ec_update", lanes),
    ]


@pytest.mark.parametrize(
    ("current", "membrane", "gain"),
    [(1, 7, 0), (2, 6, -1), (3, 3, 0), (4, 5, -2), (5, 4, -3), (6, 2, -6), (7, 1, -7)],
)
def test_thumb_assembly_equals_the_core(tmp_path, thumb, unchanging, current, membrane, gain):
    assert shutil.which("qemu-arm"), "qemu-arm is missing: apt-get install qemu-user"
    numbers = {"CURRENT_SHIFT": current, "MEMBRANE_SHIFT": membrane, "RECURRENT_GAIN": gain}
    flags = [f"-DEC_FAST_{name}={number}" for name, number in numbers.items()]
    program = tmp_path / "test_assembly"
    objects = [
        *unchanging,
        *thumb.both("ec_update_fast", ("ec_update_fast",), *flags),
        *thumb.kernel("ec_step_few"),
        *thumb.kernel("ec_lanes", *flags),
    ]
    command = [*ARM, "-static", *objects, "-o", program]
    subprocess.run(command, check=True, timeout=300)
    assert run(["qemu-arm", program, "500"]) == "500 turns equal\n"
