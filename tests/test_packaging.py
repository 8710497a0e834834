"""What is shipped: an sdist that builds, and a wheel that needs no checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from ecedge.boards import board_names
from ecedge.engine import kernels
from ecedge.version import VERSION

ROOT = Path(__file__).parent.parent
DEADLINE = 240.0  # seconds for one build; zig's first one builds its own libraries
NOT_SHIPPED = shutil.ignore_patterns(
    *(".*", "build", "dist", "runs", "*.egg-info", "__pycache__", "node_modules"),
    *("_ecedge.so", "_bindings.py"),
)
NAME = f"ecedge-{VERSION}"

#: what a checkout that is worked in holds beside its sources
LITTER = {
    "ecedge/engine/_ecedge.so": "an old library",
    "ecedge/engine/_bindings.py": "raise RuntimeError('old bindings')",
    "ecedge/__pycache__/model.cpython-311.pyc": "old bytecode",
    "firmware/core/ec_net.o": "an old object",
    "host/vdev/__pycache__/x.pyc": "old bytecode",
    "host/rp2040js/node_modules/rp2040js/index.js": "somebody else's",
}

pytestmark = pytest.mark.skipif(find_spec("build") is None, reason="pip install build")


def run(command, cwd, **environment) -> str:
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def copy_of_the_sources(folder: Path) -> Path:
    return shutil.copytree(ROOT, folder, ignore=NOT_SHIPPED)


def build(source: Path, out: Path, *options: str, **environment) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *options, source]
    run(command, source, **environment)


def the(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The sources, with what work leaves among them."""
    folder = copy_of_the_sources(tmp_path_factory.mktemp("source") / "ecedge")
    for name, text in LITTER.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def shipped(source, tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    build(source, out)
    return out


def install(wheel: Path, folder: Path) -> Path:
    """A new environment with the wheel and, from here, the packages that it needs; its `bin`."""
    run([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
    python = folder / "bin/python"
    run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index"]
        + ["--no-deps", "--disable-pip-version-check", wheel],
        folder.parent,
    )
    # Our site-packages, but none of the .pth files in it: the checkout stays out of sight.
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    ours = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    site = Path(run([python, "-c", code], folder).strip())
    (site / "needs.pth").write_text("\n".join(ours))
    return folder / "bin"


@pytest.fixture(scope="module")
def installed(shipped, tmp_path_factory) -> Path:
    return install(the(shipped, "*.whl"), tmp_path_factory.mktemp("installed") / "venv")


# --- the sdist ------------------------------------------------------------------------------


def test_the_sdist_holds_all_sources_and_no_litter(source, shipped):
    with tarfile.open(the(shipped, "*.tar.gz")) as archive:
        files = {member.name for member in archive if member.isfile()}
    made = {"PKG-INFO", "setup.cfg"}
    held = {name.removeprefix(f"{NAME}/") for name in files} - made
    held = {name for name in held if not name.startswith("ecedge.egg-info/")}
    paths = (path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc")
    expected = {str(path.relative_to(source)) for path in paths} - set(LITTER)
    ours = {name for name in expected if not name.startswith(("build/", ".", "ecedge.egg-info/"))}
    assert held == ours


# --- the wheel ------------------------------------------------------------------------------


def test_the_wheel_is_for_any_python_of_this_platform(shipped):
    wheel = the(shipped, "*.whl")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name == f"{NAME}-py3-none-{platform}.whl"
    with zipfile.ZipFile(wheel) as archive:
        told = archive.read(f"{NAME}.dist-info/WHEEL").decode()
    assert "Root-Is-Purelib: false" in told
    assert f"Tag: py3-none-{platform}" in told


def test_the_wheel_holds_what_it_must_and_nothing_else(source, shipped):
    with zipfile.ZipFile(the(shipped, "*.whl")) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
    package = {
        str(path.relative_to(source))
        for path in (source / "ecedge").rglob("*")
        if path.suffix in (".py", ".html", ".typed")
    }
    firmware = {
        f"ecedge/_sources/{path.relative_to(source)}"
        for folder in ("firmware", "host/vdev", "host/rp2040js", "host/simavr")
        for path in (source / folder).rglob("*")
        if path.is_file() and str(path.relative_to(source)) not in LITTER
    }
    made = {"ecedge/engine/_ecedge.so", "ecedge/engine/_bindings.py"}
    metadata = {name for name in held if name.startswith(f"{NAME}.dist-info/")}
    assert held - metadata == package | firmware | made
    assert {Path(name).name for name in metadata} == {
        "LICENSE", "METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt",
    }  # fmt: skip


def test_the_library_asks_for_no_symbol_of_python(shipped, tmp_path):
    if not shutil.which("nm"):
        pytest.skip("apt-get install binutils")
    with zipfile.ZipFile(the(shipped, "*.whl")) as archive:
        library = archive.extract("ecedge/engine/_ecedge.so", tmp_path)
    out = run(["nm", "-D", "--undefined-only", library], tmp_path)
    assert [line for line in out.splitlines() if " Py" in line or " _Py" in line] == []


# --- without a checkout ---------------------------------------------------------------------


@pytest.fixture
def away(tmp_path) -> dict[str, str]:
    """An environment that knows no checkout and no cache, to be used in tmp_path."""
    return {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_the_package_is_imported_from_where_it_was_installed(installed, tmp_path, away):
    code = (
        "import ecedge, ecedge.engine, ecedge.cli, ecedge.hil, ecedge.training.trainer, sys\n"
        "print(ecedge.__version__, *(m.__file__ for n, m in sys.modules.items() if 'ecedge' in n))"
    )
    version, *files = run([installed / "python", "-c", code], tmp_path, **away).split()
    assert version == VERSION
    assert len(files) > 20
    assert [file for file in files if not file.startswith(str(installed.parent))] == []


def test_the_command_is_installed(installed, tmp_path, away):
    assert run([installed / "ecedge", "--version"], tmp_path, **away) == f"ecedge {VERSION}\n"
    listed = json.loads(run([installed / "ecedge", "boards", "--json"], tmp_path, **away))
    assert [board["name"] for board in listed] == board_names()


def test_the_engine_proves_itself(installed, tmp_path, away):
    findings = json.loads(run([installed / "ecedge", "doctor", "--json"], tmp_path, **away))
    engine = next(finding for finding in findings if finding["name"] == "engine")
    assert engine["found"].startswith("bit-equal to the reference")


def test_training_firmware_device_and_report_need_no_checkout(installed, tmp_path, away):
    def ecedge(*words) -> dict:
        return json.loads(run([installed / "ecedge", *words, "--json"], tmp_path, **away))

    trained = ecedge(
        "train", "CartPole-v1", "--population", 16, "--neurons", 32, "--generations", 2,
        "--evaluation-episodes", 2,
    )  # fmt: skip
    built = ecedge("build", trained["policy"])
    assert (tmp_path / built["program"]).stat().st_size > 0
    summary = ecedge("run", trained["policy"], "--episodes", 2, "--report", "report.html")
    assert summary["differing_bits"] == 0
    assert "<html" in (tmp_path / "report.html").read_text()


# --- another compiler -----------------------------------------------------------------------


def test_a_build_by_the_compiler_of_a_python_package_works(tmp_path, away):
    if find_spec("ziglang") is None:
        pytest.skip("pip install ziglang")
    source = copy_of_the_sources(tmp_path / "source")
    build(source, tmp_path / "dist", "--wheel", CC=f"{sys.executable} -m ziglang cc")
    bin = install(the(tmp_path / "dist", "*.whl"), tmp_path / "venv")
    findings = json.loads(run([bin / "ecedge", "doctor", "--json"], tmp_path, **away))
    engine = next(finding for finding in findings if finding["name"] == "engine")
    # The same kernels as here: what the processor can do is asked without the compiler's help.
    assert engine["found"] == f"bit-equal to the reference; kernels: {', '.join(kernels())}"


def test_a_compiler_that_fails_is_quoted(tmp_path):
    source = copy_of_the_sources(tmp_path / "source")
    (source / "firmware/core/ec_crc.c").write_text("this is no C")
    command = [sys.executable, "host/native.py"]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 1
    assert result.stderr.startswith("ecedge: ") and "this is no C" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (source / "ecedge/engine/_ecedge.so").exists()


def test_no_compiler_is_told_what_to_install(tmp_path):
    source = copy_of_the_sources(tmp_path / "source")
    code = (
        "import sys; sys.modules['ziglang'] = None; sys.path.insert(0, 'host')\n"
        "import native; native.find_compiler()"
    )
    environment = {"PATH": "/nowhere", "HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 1
    assert result.stderr == (
        "ecedge: no C compiler was found. Install one (Debian: apt-get install gcc), "
        "or the Python package ziglang.\n"
    )
