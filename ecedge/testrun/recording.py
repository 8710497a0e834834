"""What went down to devices and came up, in a file that the host's twin replays: docs/HIL.md."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import StorageError, UsageError
from ..hil import Twin
from ..model import Policy
from ..storage import reason, write_atomically
from .results import TestRun

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Recorded:
    """One episode of a device: raw (T, n_obs) int16, output (T, n_act) int16, digest (T,) uint32 of
    the device's state; total: its return."""

    device: str
    seed: int
    total: float
    raw: np.ndarray
    output: np.ndarray
    digest: np.ndarray


@dataclass(frozen=True, eq=False)
class Recording:
    policy: Policy
    task: str
    episodes: tuple[Recorded, ...]

    @property
    def steps(self) -> int:
        return sum(len(episode.raw) for episode in self.episodes)


@dataclass(frozen=True)
class Difference:
    """Where a recording and the twin part first. what: the output, or the state's digest, with both
    values."""

    device: str
    seed: int
    step: int
    what: str

    def __str__(self) -> str:
        return f"{self.device}, episode of seed {self.seed}, step {self.step}: {self.what}"


def record(run: TestRun, policy: Policy) -> Recording:
    """All whole episodes of a run, the wrong ones too."""
    episodes = tuple(
        Recorded(
            device.name,
            episode.seed,
            episode.total,
            np.array([step.raw for step in episode.steps], np.int16),
            np.array([step.output for step in episode.steps], np.int16),
            np.array([step.digest for step in episode.steps], np.uint32),
        )
        for device in run.devices
        for episode in device.episodes
    )
    return Recording(policy, run.task, episodes)


def replay(recording: Recording) -> Difference | None:
    """Gives the recorded counts to the twin: None where every output and digest is its own."""
    twin = Twin(recording.policy)
    for episode in recording.episodes:
        twin.reset()
        rows = zip(episode.raw, episode.output, episode.digest, strict=True)
        for number, (raw, output, digest) in enumerate(rows):
            expected = twin.step(raw)
            what = _parting(output, expected, int(digest), twin.digest)
            if what:
                return Difference(episode.device, episode.seed, number, what)
    return None


def _parting(output, expected, digest: int, twins: int) -> str:
    for number in np.flatnonzero(output != expected):
        return f"output {number} was {output[number]}, the twin's is {expected[number]}."
    if digest != twins:
        return f"the outputs agree; the state's digest was {digest:08x}, the twin's is {twins:08x}."
    return ""


def save_recording(path: str | os.PathLike, recording: Recording) -> None:
    spec, episodes = recording.policy.spec, recording.episodes
    head = {
        "format": FORMAT,
        "task": recording.task,
        "episodes": [
            {"device": e.device, "seed": e.seed, "return": e.total, "steps": len(e.raw)}
            for e in episodes
        ],
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        head=np.array(json.dumps(head)),
        policy=np.frombuffer(recording.policy.image, np.uint8),
        raw=_joined([e.raw for e in episodes], np.zeros((0, spec.n_obs), np.int16)),
        output=_joined([e.output for e in episodes], np.zeros((0, spec.n_act), np.int16)),
        digest=_joined([e.digest for e in episodes], np.zeros(0, np.uint32)),
    )
    write_atomically(path, buffer.getvalue())


def _joined(parts: Sequence[np.ndarray], nothing: np.ndarray) -> np.ndarray:
    return np.concatenate([nothing, *parts])


def load_recording(path: str | os.PathLike) -> Recording:
    """UsageError: there is none, or it is not whole."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"There is no recording {path}.", "`ecedge hil --record` makes one."
        ) from None
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {reason(error)}.") from error
    recording = None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(str(arrays["head"]))
        if head["format"] == FORMAT:
            recording = _unpacked(head, arrays)
    except Exception as error:  # readers of zip and npy raise whatever they like at damage
        raise UsageError(
            f"{path} is damaged, or no recording of `ecedge hil`.", "Record the run again."
        ) from error
    if recording is None:
        raise UsageError(
            f"{path} is a recording of format {head['format']}; this ecedge reads {FORMAT}.",
            "Replay it with the ecedge that wrote it.",
        )
    if not recording.episodes:
        raise UsageError(f"{path} holds no episode.", "Record a run in which one ends.")
    return recording


def _unpacked(head: dict, arrays: dict[str, np.ndarray]) -> Recording:
    policy = Policy.from_image(arrays["policy"].tobytes())
    lengths = [episode["steps"] for episode in head["episodes"]]
    steps = sum(lengths)
    shapes = {
        "raw": ((steps, policy.spec.n_obs), np.int16),
        "output": ((steps, policy.spec.n_act), np.int16),
        "digest": ((steps,), np.uint32),
    }
    for name, (shape, kind) in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != kind:
            raise ValueError(name)
    episodes, begin = [], 0
    for facts, length in zip(head["episodes"], lengths, strict=True):
        parts = [arrays[name][begin : begin + length] for name in shapes]
        who = str(facts["device"]), int(facts["seed"]), float(facts["return"])
        episodes.append(Recorded(*who, *parts))
        begin += length
    return Recording(policy, str(head["task"]), tuple(episodes))
