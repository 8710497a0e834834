"""TensorBoard's event files: the log's numbers, in order, whatever happened to the run."""

import errno
import json
import struct
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from ecedge.errors import StorageError
from ecedge.training.events import Events
from ecedge.training.log import Log


def entry_of(generation: int, **changes) -> dict:
    return {
        "generation": generation,
        "steps": 1000 * (generation + 1),
        "mean": 10.0 + generation,
        "best": 20.0 + generation,
        "worst": 1.0,
        "certainty": 0.5,
        "activity": 0.25,
        "evaluation": 15.0 if generation % 2 else None,
        "seconds": 0.5 * (generation + 1),
        **changes,
    }


class Run:
    """A log and its events, written as a training does."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log = Log(folder / "log.jsonl")
        self.events = Events(folder / "events", folder / "log.jsonl")

    def rewind(self, generation: int) -> "Run":
        self.log.rewind(generation)
        self.events.rewind(generation)
        return self

    def generations(self, first: int, last: int) -> "Run":
        for generation in range(first, last):
            self.log.append(entry_of(generation))
            self.events.append(entry_of(generation))
        return self


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path)
    yield run
    run.events.close()


def read_events(folder: Path) -> list[Event]:
    """All that TensorBoard would read, in its order of files."""
    events = []
    for path in sorted((folder / "events").iterdir()):
        data = path.read_bytes()
        while len(data) >= 12:
            (length,) = struct.unpack("<Q", data[:8])
            if len(data) < 16 + length:
                break  # cut short, as TensorBoard too takes it
            events.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return events


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [
        (event.step, value.simple_value)
        for event in read_events(folder)
        for value in event.summary.value
        if value.tag == tag
    ]


def test_scalars_are_the_logs_against_environment_steps(run, tmp_path):
    run.rewind(0).generations(0, 3)
    assert curve(tmp_path, "return/mean") == [(1000, 10.0), (2000, 11.0), (3000, 12.0)]
    assert curve(tmp_path, "return/best") == [(1000, 20.0), (2000, 21.0), (3000, 22.0)]
    assert curve(tmp_path, "return/worst") == [(1000, 1.0), (2000, 1.0), (3000, 1.0)]
    assert curve(tmp_path, "search/certainty") == [(1000, 0.5), (2000, 0.5), (3000, 0.5)]
    assert curve(tmp_path, "network/activity") == [(1000, 0.25), (2000, 0.25), (3000, 0.25)]


def test_a_generation_without_an_evaluation_has_no_point_of_one(run, tmp_path):
    run.rewind(0).generations(0, 4)
    assert curve(tmp_path, "return/evaluation") == [(2000, 15.0), (4000, 15.0)]


def test_speed_is_of_a_generation_not_of_the_run(run, tmp_path):
    run.rewind(0).generations(0, 1)
    run.events.append(entry_of(1, seconds=4.5))
    assert curve(tmp_path, "speed/steps_per_second") == [(1000, 2000.0), (2000, 250.0)]


def test_a_run_that_is_resumed_has_every_generation_once(run, tmp_path):
    run.rewind(0).generations(0, 5)
    again = Run(tmp_path)
    again.rewind(3).generations(3, 6)
    again.events.close()
    assert [step for step, _ in curve(tmp_path, "return/mean")] == list(range(1000, 7000, 1000))
    walls = [event.wall_time for event in read_events(tmp_path) if event.summary.value]
    assert walls == sorted(walls)


def test_events_are_rebuilt_from_a_log_that_had_none(run, tmp_path):
    for generation in range(4):
        run.log.append(entry_of(generation))
    run.rewind(4)
    assert len(curve(tmp_path, "return/mean")) == 4


def test_a_tail_cut_short_by_a_kill_is_healed_on_resume(run, tmp_path):
    run.rewind(0).generations(0, 3)
    (path,) = (tmp_path / "events").iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    again = Run(tmp_path)
    again.rewind(3).generations(3, 4)
    again.events.close()
    assert [step for step, _ in curve(tmp_path, "return/mean")] == [1000, 2000, 3000, 4000]


def test_every_generation_is_on_the_disk_at_once(run, tmp_path):
    run.rewind(0)
    for generation in range(3):
        run.generations(generation, generation + 1)
        assert len(curve(tmp_path, "return/mean")) == generation + 1


def test_a_tensorboard_that_looks_on_is_told_of_a_new_beginning(run, tmp_path):
    run.rewind(0).generations(0, 2).rewind(1)
    started = [event for event in read_events(tmp_path) if event.HasField("session_log")]
    assert [(event.step, event.session_log.status) for event in started] == [(0, SessionLog.START)]


def test_other_files_in_the_folder_are_left_alone(run, tmp_path):
    (tmp_path / "events").mkdir()
    (tmp_path / "events/notes.txt").write_text("years of work")
    run.rewind(0)
    assert (tmp_path / "events/notes.txt").read_text() == "years of work"


def test_a_log_of_another_search_may_lack_a_field(run, tmp_path):
    entry = {name: value for name, value in entry_of(0).items() if name != "certainty"}
    (tmp_path / "log.jsonl").write_text(json.dumps(entry) + "\n")
    run.events.rewind(1)
    assert curve(tmp_path, "search/certainty") == []
    assert curve(tmp_path, "return/mean") == [(1000, 10.0)]


def test_a_full_disk_is_one_sentence_after_the_events_are_closed_too(run, monkeypatch):
    run.rewind(0).generations(0, 1)
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(run.events._writer, "flush", full)
    with pytest.raises(StorageError, match="no space left on device"), closing(run.events):
        run.events.append(entry_of(1))
    assert full.call_count == 2


def test_a_folder_that_cannot_be_made_is_one_sentence(run, tmp_path):
    (tmp_path / "events").write_text("a file")
    with pytest.raises(StorageError, match=r"Cannot write TensorBoard's events into .*events: "):
        run.events.rewind(0)
