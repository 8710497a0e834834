"""bench/story.py: what it tells of a run, and what it does without an emulator."""

import sys
from pathlib import Path

import pytest

from ecedge.errors import ToolError
from ecedge.tasks import find_task

sys.path.insert(0, str(Path(__file__).parent.parent / "bench"))
import story

GENERATION = {"mean": 90.0, "best": 300.0, "worst": 20.0, "steps": 1440}
TOLD = story.Story(
    3, [500.0, 490.0], [30.0, 70.0], 16,
    [GENERATION | {"evaluation": mean} for mean in (60.0, 480.0, 470.0)],
)  # fmt: skip


def test_the_change_is_one_that_hurts():
    changed = find_task(str(story.CHANGED))
    assert changed.id == story.STOCK
    assert {change.name: change.low for change in changed.variation.changes} == {
        "gain": 1.5,
        "pole_length": 0.5,
    }


def test_it_is_recovered_when_an_evaluation_is_solved_again():
    assert TOLD.episodes.tolist() == [0, 16, 32, 48]
    assert TOLD.evaluations == [50.0, 60.0, 480.0, 470.0]
    assert TOLD.recovered == 32
    assert f"{TOLD}" == "| 3 | 495 | 50 | 480 | 32 episodes | 4,320 |"


def test_what_never_recovered_is_told_so():
    lost = story.Story(3, [500.0], [30.0], 16, [GENERATION | {"evaluation": 60.0}])
    assert lost.recovered is None
    assert f"not within {story.BUDGET} episodes" in f"{lost}"


def test_the_picture_is_one():
    assert story.draw([TOLD, TOLD], "virtual").startswith(b"\x89PNG")


@pytest.mark.parametrize("missing", ["check_emulator", "find_toolchain"])
def test_without_an_emulator_or_a_compiler_it_is_the_virtual_device_s_story(
    monkeypatch, capsys, missing
):
    def lacking(board):
        raise ToolError("qemu is not installed.", "Get it: apt install qemu.")

    monkeypatch.setattr(story, missing, lacking)
    if missing == "find_toolchain":
        monkeypatch.setattr(story, "check_emulator", lambda board: None)
    assert story.device_at_hand("mps2-an386") == "virtual"
    told = capsys.readouterr().err
    assert "Get it: apt install qemu." in told and "virtual device" in told
