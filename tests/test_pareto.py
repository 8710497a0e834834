"""The sizes and the table of bench/pareto.py: what is published of the cheapest decision."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))
import pareto

ROOT = Path(__file__).parent.parent
POINTS = ROOT / "docs/results/pareto/points.csv"
needs_arm = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"), reason="apt install gcc-arm-none-eabi"
)


def test_points_are_read_as_they_were_written(tmp_path):
    points = pareto.read_points(POINTS)
    assert len(points) == len(pareto.TASKS) * len(pareto.NEURONS) * len(pareto.SUBSTEPS)
    pareto.write_points(tmp_path / "points.csv", points)
    assert (tmp_path / "points.csv").read_bytes() == POINTS.read_bytes()


@pytest.mark.parametrize("page", ["README.md", "docs/results/README.md"])
def test_the_published_table_is_that_of_the_points(page):
    assert pareto.table(pareto.read_points(POINTS)) in (ROOT / page).read_text("utf-8")


@needs_arm
def test_a_network_alone_is_its_code_its_policy_and_its_state():
    small, large = (pareto.sizes_of_shape("CartPole-v1", neurons) for neurons in (32, 64))
    for sizes in (small, large):
        assert sizes["image"] < sizes["alone_flash"] < sizes["flash"]
        assert sizes["alone_ram"] < sizes["ram"]
    more = {name: large[name] - small[name] for name in small}
    assert more["alone_flash"] == more["image"]
    assert abs(more["flash"] - more["image"]) <= 8  # instructions that load larger constants
    assert more["alone_ram"] == more["ram"] > 0
