"""Networks whose outputs a plant gets as a device with limits applies them (LINK.md, LIMITS)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine import Batch
from ..link import Limit
from ..model import ObservationMap, decode_action
from ..tasks import Task


class Limited:
    """`rollout.Networks` of a batch, its outputs kept to the `limits`, one for each. Episodes begin
    with outputs of 0, the safe action of a rig that names no other."""

    def __init__(
        self, batch: Batch, observation_map: ObservationMap, task: Task, limits: Sequence[Limit]
    ):
        self.population = batch.population
        self._batch = batch
        self._map = observation_map
        self._bounds = np.array(task.low, np.float32), np.array(task.high, np.float32)
        numbers = [(limit.low, limit.high, limit.slew) for limit in limits]
        self._low, self._high, self._slew = np.array(numbers, np.int32).T
        self._applied = np.zeros((batch.population, batch.spec.n_act), np.int32)

    @property
    def counts(self) -> tuple[int, int]:
        return self._batch.counts

    def reset(self) -> None:
        self._batch.reset()
        self._applied[:] = 0

    def act(self, members: slice, observations: np.ndarray, live: np.ndarray) -> np.ndarray:
        raw = np.zeros((self.population, self._batch.spec.n_obs), np.int16)
        raw[members] = self._map.encode(observations)
        active = np.zeros(self.population, bool)
        active[members] = live
        outputs = self._batch.step(raw, active)[members]
        before = self._applied[members]
        applied = self._within(outputs, before)
        before[live] = applied[live]
        return decode_action(self._batch.spec, applied, *self._bounds)

    def _within(self, outputs: np.ndarray, before: np.ndarray) -> np.ndarray:
        """`Limit.apply` of each."""
        inside = outputs.astype(np.int32).clip(self._low, self._high)
        return inside.clip(before - self._slew, before + self._slew)
