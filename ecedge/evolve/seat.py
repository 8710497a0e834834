"""Devices that learn what their twin learns, whatever they missed meanwhile.

opened ──> it learned some of our lineage?  ── yes ──> goes on from there
                    └─ no: policy, EVOLVE ──────────>  from the beginning
missed one generation                                  its ranks, then hash = twin's?
missed more                                            all their ranks, or the probabilities
                                                       of now, whichever are fewer bytes
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import BoardError, DeviceRefused, LockstepLost
from ..hil import SILENCE_MS
from ..link import Device, ErrorCode, Evolving, learned_hash
from ..model import Policy
from .lockstep import Lockstep

#: refusals that another try does not change
FINAL = ErrorCode.TYPE, ErrorCode.LENGTH, ErrorCode.CAPACITY, ErrorCode.ARGUMENT

#: called at a device's first difference: its name, its probabilities in planes, its twin's
Keep = Callable[[str, bytes, bytes], None]


class Drawn:
    """A twin's members for a `fleet`, whose devices draw them themselves."""

    def __init__(self, twin: Lockstep, keep: Keep):
        self.networks = twin.networks
        self._twin = twin
        self._keep = keep

    def seat(self, name: str, device: Device) -> Seat:
        return Seat(name, device, self._twin, self._keep)


class Seat:
    """A device that was just opened. Raises LockstepLost where it has learned something else than
    its twin, BoardError where it can't evolve this policy, and what `Device.request` raises."""

    def __init__(self, name: str, device: Device, twin: Lockstep, keep: Keep):
        self._name = name
        self._device = device
        self._twin = twin
        self._keep = keep
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
        self._member = number
        return self._twin.member(number)

    def begin(self) -> None:
        """The device draws the member, and begins its episode."""
        self._device.reset(digest=True, silence_ms=SILENCE_MS, member=self._member)

    def _begin(self) -> Evolving:
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
            if missed > 1 and evolving.put_size < missed * evolving.learn_size:
                generation, planes = self._twin.now()
                evolving.restart(generation)
                evolving.put_rho(planes)
            else:
                evolving.learn(self._twin.ranks_of(evolving.generation))
            self._compare(evolving)

    def _compare(self, evolving: Evolving) -> None:
        wanted = self._twin.hash_after(evolving.generation)
        if evolving.rho_hash != wanted:
            self._keep(self._name, evolving.rho(), self._twin.before(evolving.generation).planes)
            raise LockstepLost(
                f"After generation {evolving.generation - 1} {self._name}'s probabilities are "
                f"{evolving.rho_hash:08x}, its twin's {wanted:08x}.",
                "Both are kept in the run's folder; look at the device's clock, supply and memory.",
            )
