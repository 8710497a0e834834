"""What bounds a run that learns on a plant: how much it may spend, and how far it may fall.

spent    what episodes have cost so far     ──> Budget  ──> the run ends, and says why
returns  of the deterministic policy        ──> Watch   ──> back to the confirmed policy
"""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np

from ..errors import StorageError, UsageError
from ..model import DISCRETE, NetworkSpec
from ..storage import write_atomically

ONE = 2048  # an output at its bound


class BudgetSpent(Exception):
    """Of a run: no episode may begin any more."""


@dataclass(frozen=True)
class Spent:
    """What the episodes of members have cost a plant. travel: see `travel_of`."""

    episodes: int = 0
    steps: int = 0
    seconds: float = 0.0
    travel: float = 0.0

    def __add__(self, more: Spent) -> Spent:
        each = zip(astuple(self), astuple(more), strict=True)
        return Spent(*(one + other for one, other in each))

    @classmethod
    def load(cls, path: Path) -> Spent:
        """Nothing where there is no file."""
        if not path.exists():
            return cls()
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(
                f"{path} cannot be read: {error}.", "Remove it to count from nothing again."
            ) from error

    def save(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self)).encode())


@dataclass(frozen=True)
class Budget:
    """The most that a run may spend, in all its sessions; None: whatever it takes."""

    episodes: int | None = None
    steps: int | None = None
    seconds: float | None = None
    travel: float | None = None

    def __post_init__(self):
        for what, most in asdict(self).items():
            if most is not None and not 0 < most < np.inf:
                raise UsageError(f"A budget of {most:g} {what} is none; give more than 0.")

    def end(self, spent: Spent) -> str | None:
        """Why no episode may begin any more; None: one may."""
        for what, most in asdict(self).items():
            used = getattr(spent, what)
            if most is not None and used >= most:
                return f"the budget of {most:g} {what} is spent: {used:.10g}"
        return None


class Watch:
    """Tells a collapse: evaluations that stay under the confirmed policy's by more than the share
    `fall` of it, `patience` times in a row. fall None: never."""

    def __init__(self, fall: float | None, patience: int):
        if fall is not None and not fall > 0:
            raise UsageError(f"A fall by {fall:g} of the return is none; give more than 0.")
        if patience < 1:
            raise UsageError(f"A collapse takes 1 evaluation or more, not {patience}.")
        self._fall = fall
        self._patience = patience
        self._low = 0  # evaluations in a row

    def collapsed(self, evaluation: float, confirmed: float) -> bool:
        if self._fall is None or evaluation >= confirmed - self._fall * abs(confirmed):
            self._low = 0
        else:
            self._low += 1
        if self._low < self._patience:
            return False
        self._low = 0
        return True


def travel_of(applied: np.ndarray, spec: NetworkSpec) -> float:
    """How far an episode has moved its actuators: changes of the outputs that were applied, (steps,
    n_act) int16, where 1 is from the middle to a bound; of discrete actions, how often another was
    chosen."""
    applied = applied.astype(np.int32)
    if spec.actions == DISCRETE:
        return float(np.count_nonzero(np.diff(applied.argmax(axis=1))))
    return float(np.abs(np.diff(applied.clip(-ONE, ONE), axis=0)).sum()) / ONE
