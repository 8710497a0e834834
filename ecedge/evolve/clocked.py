"""A device that practises on its own plant, by its own clock, and a host that follows it.

PRACTICE   ──> device: member, episode ... of all members, ranks, new probabilities, and again
PROGRESS   <── where it stands; meanwhile the twin's members run on the plant's twin
RECORD     <── returns of all members, rho hash      must be the twin's
lineage.bin    their ranks, as of evolution in step with the host: it replays alike
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from ..clocked import replay
from ..errors import DeviceRefused, LinkError, LinkTimeout, LockstepLost, PlantFault
from ..hil import SILENCE_MS
from ..link import (
    REWARD_ONE,
    Device,
    ErrorCode,
    Evolving,
    Limit,
    Practice,
    PracticeState,
    Progress,
    Record,
    period_ticks,
    practice,
    read_rho,
)
from ..plants import PLANTS
from ..reference import centered_ranks, rho_planes
from ..tasks import Task
from .run import EPISODES, Generation, Run, seeds_of, task_of
from .safety import BudgetSpent, Spent
from .seat import FINAL

MOST_LOSSES = 20  # of the device, without a generation in between
PATIENCE_MS = 10_000  # for a plant that is not ready for an episode
ASK_SOON, ASK_LATE = 0.002, 0.25  # seconds between questions how far it is
INT32 = np.iinfo(np.int32)
KEPT = "Both are kept in the run's folder; look at the device's clock, supply and memory."

#: why a device practises no more that has a budget
USED_UP = {
    PracticeState.EPISODES: "the {episodes} episodes that the device may run are run",
    PracticeState.STEPS: "the {steps} steps that the device may take are taken",
    PracticeState.TIME: "the {ms} ms that the device may practise are over",
}


def practise(
    run: Run, opener: Callable[[], AbstractContextManager[Device]]
) -> Iterator[Generation]:
    """`run.on(opener)` for a plan that has a period: generations on the device's own plant.

    Where the plant has a twin (`ecedge.plants`), every member's return is held to it. The device
    counts the plan's budget too, by itself, from when it began to evolve; and where the plan has no
    limits it keeps to what its plant bears. Raises PlantFault when the plant ends its practice, and
    what `run.on` raises.
    """
    task = task_of(run.plan, run.twin.origin.policy)
    with run.opened(), Practised(opener, run, task) as seat, suppress(BudgetSpent):
        while not run.is_over():
            begun = time.perf_counter()
            record = seat.follow()
            returns = record.fitness / REWARD_ONE
            losses = seat.take_losses()
            run.spend(Spent(len(returns), record.steps, time.perf_counter() - begun))
            learned = run.close_generation(task, returns, record.steps, losses, begun)
            if learned.back_to is not None:
                seat.go_back()
            yield learned


class Practised:
    """The device, opened again and brought to where its twin is whenever it was lost."""

    def __init__(self, opener: Callable[[], AbstractContextManager[Device]], run: Run, task: Task):
        plan = run.plan
        self._opener = opener
        self._run = run
        self._twin = run.twin
        self._plan = plan
        self._steps = task.max_episode_steps
        (self._first_seed,) = seeds_of(plan.seed, EPISODES, 0, 1)
        self._opened = ExitStack()
        self._device: Device | None = None
        self._limits = plan.output_limits or [Limit()] * run.twin.origin.policy.spec.n_act
        self._conditions = Conditions(None, ())
        self._losses = self._told = self._in_a_row = 0

    def __enter__(self) -> Practised:
        return self

    def __exit__(self, *error) -> None:
        """The device keeps the confirmed policy, at its safe action, if it is still there."""
        if self._device is not None:
            with suppress(LinkError):
                self._device.upload(self._run.confirmed)
        self._opened.__exit__(*error)

    def go_back(self) -> None:
        """The twin went back, and so does the device."""
        self._insist(self._bring)

    def follow(self) -> Record:
        """The twin's generation, as the device ran it and learned from it."""
        twin = self._twin
        with Expected(self._earned, twin.origin.population) as expected:
            record = self._insist(lambda device: self._await(device, expected))
            earned = expected.all(self._conditions)
        for member, (told, wanted) in enumerate(zip(record.fitness, earned, strict=True)):
            if wanted is not None and told != wanted:
                self._keep(twin.taught(centered_ranks(np.array(earned))))
                raise LockstepLost(
                    f"Member {member} of generation {twin.generation} earned "
                    f"{told / REWARD_ONE:g} on the device, {wanted / REWARD_ONE:g} with its twin.",
                    KEPT,
                )
        rho = twin.taught(centered_ranks(record.fitness))
        if record.rho_hash != (wanted := zlib.crc32(rho_planes(rho))):
            self._keep(rho)
            raise LockstepLost(
                f"After generation {twin.generation} the device's probabilities are "
                f"{record.rho_hash:08x}, its twin's {wanted:08x}.",
                KEPT,
            )
        self._in_a_row = 0
        return record

    def _keep(self, rho: np.ndarray) -> None:
        """What the device learned last, and what its twin would have."""
        with suppress(LinkError):
            self._run.keep_difference("device", self.rho(), rho_planes(rho))

    def rho(self) -> bytes:
        """The device's probabilities, as they are now."""
        device = self._device or self._open()
        device.stop()
        return read_rho(device, self._twin.origin.policy.spec.n_synapses)

    def take_losses(self) -> int:
        """Times that the device was lost since this was asked last."""
        losses, self._told = self._losses - self._told, self._losses
        return losses

    def _earned(self, member: int, conditions: Conditions) -> int | None:
        """What a member of the twin's generation earns; None where the plant has no twin."""
        if conditions.plant is None:
            return None
        policy, seed = self._twin.member(member), self._first_seed + self._twin.generation
        episode = replay(
            conditions.plant, policy, seed & 0xFFFFFFFF, self._steps, conditions.limits
        )
        return min(max(episode.total, INT32.min), INT32.max)

    def _await(self, device: Device, expected: Expected) -> Record:
        generation, pause, begun = self._twin.generation, ASK_SOON, False
        while (now := practice.progress(device)).generation <= generation:
            if not now.runs:
                if begun:
                    raise self._end(now)
                practice.begin_practice(device, self._terms(device, now))
                begun = True
            expected.compute(self._conditions)
            time.sleep(pause)
            pause = min(1.5 * pause, ASK_LATE)
        return practice.record(device, generation, self._twin.origin.population)

    def _end(self, now: Progress) -> Exception:
        """Why the device no longer practises that was told to: its budget, the plant, or the line's
        to mend."""
        if why := USED_UP.get(now.state):
            self._run.ending = why.format(**asdict(now))
            used_up = now.state.name.lower().replace("time", "seconds")
            self._run.spend(Spent(**{used_up: getattr(self._left(), used_up)}))
            return BudgetSpent()
        where = f"The device stopped to practise in generation {now.generation}"
        if now.state == PracticeState.PLANT:
            return PlantFault(
                f"{where}: its plant did not become ready for an episode (reason {now.reason}).",
                "It is safe. Look at its plant, then go on with --resume.",
            )
        return LinkTimeout(
            f"{where}: this host asked too late.", "It is safe; the generation begins anew."
        )

    def _left(self) -> Spent:
        """What the budget still allows; 0 where there is none, or nothing left."""
        most, spent = self._plan.budget, self._run.spent
        names = "episodes", "steps", "seconds"
        left = {name: (getattr(most, name) or 0) - getattr(spent, name) for name in names}
        return Spent(**{name: max(0, much) for name, much in left.items()})

    def _terms(self, device: Device, now: Progress) -> Practice:
        """now: what the device counted already."""
        plan, left = self._plan, self._left()
        return Practice(
            generations=min(max(1, plan.alone), plan.generations - self._twin.generation),
            first_seed=self._first_seed,
            steps=self._steps,
            period=period_ticks(device, plan.period_ms),
            silence_ms=0 if plan.alone else SILENCE_MS,
            patience_ms=PATIENCE_MS,
            most_episodes=left.episodes and now.episodes + left.episodes,
            most_steps=left.steps and now.steps + left.steps,
            most_ms=now.ms + max(1, round(1000 * left.seconds)) if left.seconds else 0,
            save_every=plan.save_every,
        )

    def _insist(self, work):
        """`work` of the device, again from its beginning where the device was lost in it."""
        while True:
            try:
                return work(self._device or self._open())
            except LinkError as error:
                if isinstance(error, DeviceRefused) and error.code in (*FINAL, ErrorCode.PLANT):
                    raise
                self._losses += 1
                self._in_a_row += 1
                self._device = None
                self._opened.close()
                if self._in_a_row >= MOST_LOSSES:
                    raise

    def _open(self) -> Device:
        device = self._opened.enter_context(self._opener())
        told = device.result()  # DeviceRefused: there is no plant
        limits = tuple(device.limit(self._limits))
        self._conditions = Conditions(PLANTS.get(told.plant), limits)
        if not self._is_ours(device) and not (has_loaded(device) and self._is_ours(device)):
            self._bring(device)
        self._device = device
        return device

    def _bring(self, device: Device) -> None:
        """To where its twin is, whatever it has learned."""
        twin, origin = self._twin, self._twin.origin
        device.upload(origin.policy)
        evolving = Evolving(
            device, origin.policy, origin.seed, origin.step, origin.population,
            twin.generation, origin.one,
        )  # fmt: skip
        if evolving.rho_hash != twin.rho_hash:
            evolving.put_rho(twin.planes)

    def _is_ours(self, device: Device) -> bool:
        """Whether a device has learned what the twin has, by the same terms, and nothing since but
        what it has records of: it may have gone on alone."""
        twin, origin = self._twin, self._twin.origin
        try:
            now = practice.progress(device)
            told = now.seed, now.population, now.step, now.first_seed, now.most_steps
            ours = origin.seed, origin.population, origin.step, self._first_seed, self._steps
            if told != ours or not now.first_record <= twin.generation <= now.generation:
                return False
            if now.first_record == twin.generation:
                return now.first_hash == twin.rho_hash
            return practice.record(device, twin.generation - 1, 1).rho_hash == twin.rho_hash
        except DeviceRefused as refusal:
            if refusal.code == ErrorCode.IMAGE:
                return False
            raise


class Conditions(NamedTuple):
    """What members act on. plant: its twin, of `ecedge.plants`; None: it has none."""

    plant: Callable | None
    limits: tuple[Limit, ...]


class Expected:
    """What members earn with the twin, computed while the device is at it, on a thread of its own:
    the device hears of its host in time, however long an episode takes here. A device that was lost
    may come back as another, under other conditions; all members are computed again then."""

    def __init__(self, earned: Callable[[int, Conditions], int | None], population: int):
        self._earned = earned
        self._population = population
        self._thread = ThreadPoolExecutor(1)
        self._conditions: Conditions | None = None
        self._fitness: Future | None = None

    def __enter__(self) -> Expected:
        return self

    def __exit__(self, *error) -> None:
        self._conditions = None
        self._thread.shutdown(wait=False)  # the device's safety does not wait for an episode here

    def compute(self, conditions: Conditions) -> None:
        """Begins to; raises what has gone wrong since."""
        if conditions != self._conditions:
            self._conditions = conditions
            self._fitness = self._thread.submit(self._compute, conditions)
        elif self._fitness.done():
            self._fitness.result()

    def all(self, conditions: Conditions) -> list[int | None]:
        self.compute(conditions)
        return self._fitness.result()

    def _compute(self, conditions: Conditions) -> list[int | None]:
        earned = []
        for member in range(self._population):
            if conditions is not self._conditions:  # nobody waits for these any more
                break
            earned.append(self._earned(member, conditions))
        return earned


def has_loaded(device: Device) -> bool:
    """Whether there was a snapshot in the device's flash; it goes on with that then."""
    try:
        practice.load(device)
    except DeviceRefused as refusal:
        if refusal.code in (ErrorCode.FLASH, ErrorCode.TYPE):
            return False
        raise
    return True
