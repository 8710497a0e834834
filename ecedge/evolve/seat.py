"""Devices that learn what their twin learns, whatever they missed meanwhile.

opened ──> it learned some of our lineage?  ── yes ──> goes on from there
                    └─ no: policy, EVOLVE ──────────>  from the beginning
missed one generation                                  its ranks, then hash = twin's?
missed more                                            all their ranks, or the probabilities
                                                       of now, whichever are fewer bytes
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BoardError, DeviceRefused, LinkError, LockstepLost
from ..hil import SILENCE_MS
from ..link import Device, ErrorCode, Evolving, Limit, learned_hash
from ..model import Policy
from .safety import ONE, Spent, travel_of

if TYPE_CHECKING:
    from .run import Run

#: refusals that another try does not change
FINAL = ErrorCode.TYPE, ErrorCode.LENGTH, ErrorCode.CAPACITY, ErrorCode.ARGUMENT


def told(limit: Limit) -> str:
    """A limit as `ecedge evolve --limit` takes it."""
    return ":".join(f"{number / ONE:g}" for number in (limit.low, limit.high, limit.slew))


class Drawn:
    """A run's members for a `fleet`, whose devices draw them themselves."""

    def __init__(self, run: Run):
        self.networks = run.twin.networks
        self._run = run

    def seat(self, name: str, device: Device) -> Seat:
        return Seat(name, device, self._run)


class Seat:
    """A device that was just opened. Raises LockstepLost where it has learned something else than
    its twin, BoardError where it can't evolve this policy, and what `Device.request` raises."""

    def __init__(self, name: str, device: Device, run: Run):
        self.limits = []
        self._name = name
        self._device = device
        self._run = run
        self._twin = run.twin
        self._evolving: Evolving | None = None

    def prepare(self) -> None:
        """Brings the device to the generation that its twin is at."""
        try:
            if self._evolving is None:
                self._evolving = self._begin()
            self._catch_up(self._evolving)
        except DeviceRefused as error:
            if error.code not in FINAL:
                raise
            raise BoardError(f"{self._name}: {error.message}", error.hint) from error

    def put(self, number: int) -> Policy:
        self._run.check_budget()
        self._member = number
        self._begun = time.perf_counter()
        return self._twin.member(number)

    def begin(self) -> None:
        """The device draws the member, and begins its episode."""
        self._device.reset(digest=True, silence_ms=SILENCE_MS, member=self._member)

    def note(self, applied: np.ndarray) -> None:
        seconds = time.perf_counter() - self._begun
        travel = travel_of(applied, self._twin.origin.policy.spec)
        self._run.spend(Spent(1, len(applied), seconds, travel))

    def leave(self) -> None:
        """The device keeps the confirmed policy, at its safe action, if it is still there."""
        with suppress(LinkError):
            self._device.upload(self._run.confirmed)

    def _begin(self) -> Evolving:
        if limits := self._run.plan.output_limits:
            self.limits = self._device.limit(limits)
            if self.limits != limits:
                raise BoardError(
                    f"{self._name} bears less than this run's limits, and all must keep the same.",
                    f"Begin another run with: --limit {' --limit '.join(map(told, self.limits))}",
                )
        origin = self._twin.origin
        numbers = origin.policy, origin.seed, origin.step, origin.population
        known = self._twin.generation_of(learned_hash(self._device))
        if known is not None:
            rho_hash = self._twin.hash_after(known)
            return Evolving(self._device, *numbers, known, origin.one, rho_hash)
        self._device.upload(origin.policy)
        return Evolving(self._device, *numbers, one=origin.one)

    def _catch_up(self, evolving: Evolving) -> None:
        self._compare(evolving)
        while (missed := self._twin.generation - evolving.generation) > 0:
            ranks = self._twin.ranks_of(evolving.generation)
            few = missed > 1 and evolving.put_size < missed * evolving.learn_size
            if ranks is None or few:
                generation, planes = self._twin.now()
                evolving.restart(generation)
                evolving.put_rho(planes)
            else:
                evolving.learn(ranks)
            self._compare(evolving)

    def _compare(self, evolving: Evolving) -> None:
        wanted = self._twin.hash_after(evolving.generation)
        if evolving.rho_hash != wanted:
            twin = self._twin.before(evolving.generation)
            self._run.keep_difference(self._name, evolving.rho(), twin.planes)
            raise LockstepLost(
                f"After generation {evolving.generation - 1} {self._name}'s probabilities are "
                f"{evolving.rho_hash:08x}, its twin's {wanted:08x}.",
                "Both are kept in the run's folder; look at the device's clock, supply and memory.",
            )
