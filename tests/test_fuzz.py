"""The device's line and messages under libFuzzer for a short while; `make fuzz` does more."""

import pytest
from fuzz import build, fuzz, seeds

SECONDS = 20
LEAST = 1000  # executions: fewer is no test


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    return build(tmp_path_factory.mktemp("fuzz"))


def test_no_input_upsets_the_device(fuzzer, tmp_path):
    done, report = fuzz(fuzzer, tmp_path / "corpus", SECONDS)
    assert not report, report
    assert done > LEAST


def test_a_finding_is_told(fuzzer, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho ERROR: AddressSanitizer\nexit 77\n")
    broken.chmod(0o755)
    done, report = fuzz(broken, tmp_path / "corpus", 1)
    assert done == 0
    assert "AddressSanitizer" in report


def test_inputs_to_begin_with_differ():
    assert len(set(seeds())) == len(seeds())
