"""The pytest plugin, in projects of others: each a folder and a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEADLINE = 120.0  # seconds for a pytest in a process
CASES = {
    "test_it.py": """
        def test_answers(device):
            assert device.status().steps == 0

        def test_is_known(rig, device):
            assert rig.spec.board.name == device.hello.board == "virtual"
            assert rig.connect().hello.boot_count == device.hello.boot_count
    """
}
RIG = """
[devices.one]
emulate = "virtual"
[devices.sick]
emulate = "virtual"
[devices.gone]
board = "uno"
usb_serial = "no such board"
"""
QUARANTINE = "[[quarantine]]\ndevice = 'sick'\nreason = 'It smokes.'\n"


@pytest.fixture
def project(tmp_path):
    """Call it with files and options: (exit code, outcomes by test, all that was printed)."""

    def run(files: dict[str, str], *words: str, ci: bool = False) -> tuple[int, dict, str]:
        for name, text in files.items():
            (tmp_path / name).write_text(textwrap.dedent(text))
        variables = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST")}
        variables |= {"PYTHONPATH": str(ROOT), "CI": "true" if ci else ""}
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "ecedge.pytest_plugin", "-v", "-rs", *words],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        told = re.findall(r"::(\w+(?:\[\S+\])?) (PASSED|FAILED|SKIPPED|ERROR)", result.stdout)
        return result.returncode, dict(told), result.stdout + result.stderr

    return run


def test_without_options_the_virtual_device_is_tested(project):
    code, outcomes, out = project(CASES)
    assert code == 0, out
    assert outcomes == {"test_answers[virtual]": "PASSED", "test_is_known[virtual]": "PASSED"}


def test_a_rig_is_tested_device_by_device(project):
    files = CASES | {"rig.toml": RIG, "quarantine.toml": QUARANTINE}
    code, outcomes, out = project(files, "--ecedge-rig", "rig.toml", "-k", "answers")
    assert code == 0, out
    assert outcomes == {
        "test_answers[one]": "PASSED",
        "test_answers[sick]": "SKIPPED",
        "test_answers[gone]": "SKIPPED",
    }
    assert "sick: In quarantine until it is taken out: It smokes." in out
    assert "gone is not there: no port has the USB serial number no such board." in out


def test_a_missing_device_fails_in_ci(project):
    files = CASES | {"rig.toml": RIG, "quarantine.toml": QUARANTINE}
    words = "--ecedge-rig", "rig.toml", "--ecedge-device", "sick", "--ecedge-device", "gone"
    code, outcomes, out = project(files, *words, "-k", "answers", ci=True)
    assert code == 1, out
    assert outcomes == {"test_answers[sick]": "SKIPPED", "test_answers[gone]": "ERROR"}


def test_a_wrong_rig_is_one_sentence(project):
    code, _, out = project(CASES, "--ecedge-rig", "rig.toml")
    assert code == 4
    assert "There is no rig file rig.toml. docs/RIG.md tells how one looks." in out


def test_a_project_with_fixtures_of_these_names_is_left_alone(project):
    files = {
        "conftest.py": """
            import pytest

            def pytest_addoption(parser):
                parser.addoption("--device")
                parser.addoption("--rig")

            @pytest.fixture
            def rig():
                return "oil"

            @pytest.fixture
            def device():
                return "pump"
        """,
        "test_it.py": """
            def test_theirs(rig, device):
                assert (rig, device) == ("oil", "pump")
        """,
    }
    code, outcomes, out = project(files)
    assert code == 0, out
    assert outcomes == {"test_theirs": "PASSED"}


@pytest.mark.parametrize("dist", ["load", "loadfile", "loadgroup"])
def test_a_device_is_tested_by_one_process(project, tmp_path, dist):
    names = "mps2-an386", "mps2-an38", "virtual"  # one of them is another's beginning
    cases = """
        import os, pytest

        @pytest.fixture(scope="session")
        def ecedge_device(request):
            return request.param

        @pytest.mark.parametrize("more", range(5))
        def test_it(ecedge_device, more):
            with open(f"processes-{ecedge_device}", "a") as file:
                file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
    """
    devices = [word for name in names for word in ("--ecedge-device", name)]
    code, _, out = project({"test_it.py": cases}, *devices, "-n", "2", "--dist", dist)
    assert code == 0, out
    workers = [(tmp_path / f"processes-{name}").read_text().split() for name in names]
    assert [5, 5, 5] == [len(each) for each in workers]
    assert [1, 1, 1] == [len(set(each)) for each in workers]
    assert len({each[0] for each in workers}) == 2


def test_without_devices_tests_are_shared_out_as_ever(project):
    code, _, out = project({"test_it.py": "def test_it(): pass"}, "-n", "2")
    assert code == 0 and "1 passed" in out, out
