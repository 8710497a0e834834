"""Every step of a run as a line of JSON, on its way to the disk before the next is taken."""

from __future__ import annotations

import json
import os

from ..errors import StorageError
from ..hil import Step
from ..storage import reason
from .results import Attempt
from .schedule import Observer


class StepLog(Observer):
    """Writes lines to a file, each by one call of the system: who kills the run loses the line in
    the making. A context manager. An old file is replaced.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self._attempts: dict[str, int] = {}
        try:
            self._file = open(path, "wb", buffering=0)
        except OSError as error:
            raise StorageError(f"Cannot write {path}: {reason(error)}.") from error

    def __enter__(self) -> StepLog:
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def on_step(self, device: str, episode: int, number: int, step: Step) -> None:
        line = {
            "device": device,
            "attempt": self._attempts.get(device, 0),
            "episode": episode,
            "step": number,
            "counts": step.raw.tolist(),
            "outputs": step.output.tolist(),
            "reward": step.reward,
            "digest": f"{step.digest:08x}",
            "spikes": step.spikes,
            "ticks": step.ticks,
            "latency_ms": round(1000 * step.latency, 4),
            "differing_bits": step.differing_bits,
        }
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise StorageError(f"Cannot write {self.path}: {reason(error)}.") from error

    def on_attempt(self, device: str, attempt: Attempt) -> None:
        self._attempts[device] = self._attempts.get(device, 0) + 1
