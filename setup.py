"""The two things that pyproject.toml cannot say: ecedge carries a C library that knows no Python,
and the C sources that firmware projects are made of."""

import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "host"))
import native  # noqa: E402

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:
    from wheel.bdist_wheel import bdist_wheel


class BuildLibrary(build_ext):
    """Into the checkout for an editable install, else into the wheel."""

    def run(self):
        root = ROOT if self.inplace else Path(self.build_lib)
        native.build(root / "ecedge/engine")

    def get_outputs(self):
        return [str(Path(self.build_lib) / "ecedge/engine" / native.LIBRARY)]


class BuildSources(build_py):
    """Adds the sources of the firmware, the virtual device and the emulators' runners."""

    def run(self):
        super().run()
        if not self.editable_mode:
            installed = shutil.ignore_patterns("node_modules")
            for folder in ("firmware", "host/vdev", "host/rp2040js", "host/simavr"):
                target = Path(self.build_lib) / "ecedge/_sources" / folder
                shutil.copytree(ROOT / folder, target, ignore=installed, dirs_exist_ok=True)


class AnyPython(bdist_wheel):
    """The library depends on the platform, not on the Python that loads it."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension("ecedge.engine._ecedge", sources=[])],
    cmdclass={"build_ext": BuildLibrary, "build_py": BuildSources, "bdist_wheel": AnyPython},
)
