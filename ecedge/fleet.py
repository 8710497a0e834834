"""A fleet: the episodes of a generation on many devices, beside simulated ones.

    Members ──> who is free:  a device's thread     its Seat puts a member there, an episode by STEP
                              a simulating thread   some members at once, by the engine
    rollout, moments <── what the members earned and saw ──┘

A device gives the engine's bits, and its twin goes along to see that it does. So a run comes to the
same bits whoever ran which member, and a device that is lost costs an episode that is run again.
How a member comes to a device is its Seat's: training uploads it to RAM, never to flash; where the
devices evolve (`ecedge.evolve`) they draw it themselves. docs/RIG.md says more.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .devices import find_device, open_device
from .errors import (
    ClusterError,
    DeviceRefused,
    LinkError,
    LockstepLost,
    UsageError,
    WorldError,
)
from .hil import SILENCE_MS, Twin, differing_bits, within
from .link import Device, Limit
from .link.messages import ErrorCode
from .model import Policy, decode_action
from .rig import Rig
from .tasks import Task
from .training.learner import Learner
from .training.lineage import Lineage
from .training.normaliser import Moments
from .training.rollout import Networks, Part, Population, Rollout
from .training.settings import Settings

ONE_BIT = "one-bit"  # the kind of network that devices run
SHARES = 4  # of a simulating thread in a generation: enough for the quick to relieve the slow
MOST_TRIES = 20  # times that a device may be lost with the same member
LATE, LATE_LEAST = 3.0, 1.0  # a member is late after so many times the slowest other's time, and s
REST, LONGEST_REST = 1.0, 60.0  # s between tries to open a device that was lost
NEVER = -float("inf")  # when a device was lost that has not been there yet
POLL = 0.5  # s between looks at who is there
CLOSE = 30.0  # s for a device to be stopped and closed

#: refusals of a device that holds no policy right: bad memory, say
BROKEN = ErrorCode.IMAGE, ErrorCode.GOLDEN

log = logging.getLogger(__name__)


class Seat(Protocol):
    """A device that was just opened, and how members come to it. limits: of each output, which the
    device keeps to; none: there are none."""

    limits: Sequence[Limit]

    def prepare(self) -> None:
        """Brings the device to where it can run members of this generation. None of them waits for
        it meanwhile."""

    def put(self, number: int) -> Policy:
        """The device is to run this member next."""

    def begin(self) -> None:
        """Begins the member's episode, with a digest."""

    def note(self, applied: np.ndarray) -> None:
        """The episode is over: (steps, n_act) int16 that the device applied."""

    def leave(self) -> None:
        """Nobody asks more of the device, if it is still there."""


class Members(Protocol):
    """Whose episodes a fleet runs: of one generation until the next `roll_out`."""

    networks: Networks

    def seat(self, name: str, device: Device) -> Seat: ...


Opener = Callable[[], AbstractContextManager[Device]]


@dataclass(frozen=True)
class Fleet:
    """Devices, by name what opens them, and `simulated` threads beside them.

    where: what they are all called. A run whose devices are all gone waits `grace` seconds for one
    of them, but not for those that were never there.
    """

    devices: Mapping[str, Opener]
    simulated: int = 0
    grace: float = 30.0
    where: str = "the fleet"

    def __post_init__(self):
        if self.simulated < 0:
            raise UsageError(f"{self.simulated} threads cannot simulate; give 0 or more.")
        if not self.devices and not self.simulated:
            raise UsageError("Nobody is there to run episodes.", "Give a rig, or --simulated N.")

    @classmethod
    def of(cls, rig: Rig, simulated: int = 0, grace: float = 30.0) -> Fleet:
        """All devices of a rig. Each is looked for anew whenever it is opened."""

        def opener(name: str) -> Opener:
            return lambda: open_device(find_device(name, rig))

        return cls({name: opener(name) for name in rig.names}, simulated, grace, rig.where)

    def check(self, settings: Settings) -> None:
        """Raises UsageError for a run that no device takes part in."""
        if settings.kind != ONE_BIT:
            raise UsageError(f"No device runs a {settings.kind}.", "Leave out --rig, or --kind.")

    def population(
        self, task: Task, settings: Settings, learner: Learner, lineage: Lineage
    ) -> FleetPopulation:
        self.check(settings)
        return FleetPopulation(self, task, Trained(learner))


class Trained:
    """A learner's members for a fleet: each is uploaded whole."""

    def __init__(self, learner: Learner):
        self.networks = learner.networks
        self._learner = learner

    def seat(self, name: str, device: Device) -> UploadSeat:
        return UploadSeat(self._learner, device)


class UploadSeat:
    limits = ()

    def __init__(self, learner: Learner, device: Device):
        self._learner = learner
        self._device = device

    def prepare(self) -> None:
        pass

    def put(self, number: int) -> Policy:
        policy = self._learner.member(number)
        self._device.upload(policy)
        return policy

    def begin(self) -> None:
        self._device.reset(digest=True, silence_ms=SILENCE_MS)

    def note(self, applied: np.ndarray) -> None:
        pass

    def leave(self) -> None:
        pass


class FleetPopulation:
    """`rollout.Population` with its members' episodes on a fleet, to the same bits."""

    def __init__(self, fleet: Fleet, task: Task, members: Members):
        self._fleet = fleet
        self._networks = members.networks
        self._counts = np.zeros(2, np.int64)  # of what devices ran
        size = -(-self._networks.population // (SHARES * max(1, fleet.simulated)))
        self._devices = [
            DeviceWorker(name, opener, task, members) for name, opener in fleet.devices.items()
        ]
        simulators = [Simulator(number, task, members, size) for number in range(fleet.simulated)]
        self._workers = [*self._devices, *simulators]

    def __enter__(self) -> FleetPopulation:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *error) -> None:
        for worker in self._workers:
            worker.jobs.put(None)
        deadline = time.monotonic() + CLOSE
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    @property
    def counts(self) -> tuple[int, int]:
        """(spikes, substeps of neurons) of all steps so far."""
        spikes, substeps = np.add(self._counts, self._networks.counts)
        return int(spikes), int(substeps)

    @property
    def losses(self) -> int:
        """Times that devices were lost so far."""
        return sum(device.losses for device in self._devices)

    def settle(self) -> list[str]:
        """Has every device brought to where it could run members now, and waits for those that are
        not gone. The names of those that are there. Raises as `roll_out` does."""
        deadline = time.monotonic() + self._fleet.grace + CLOSE
        job = Job(np.zeros(0, np.int64))
        for device in self._devices:
            device.jobs.put(job)
        try:
            while waited := {d.name for d in self._devices if not d.is_gone(self._fleet.grace)}:
                if job.wait_for(waited, POLL) or time.monotonic() > deadline:
                    break
            self._see_that_someone_is_there()
        finally:
            job.close()
        return [device.name for device in self._devices if device.name in job.ready]

    def roll_out(self, seed, moments: Moments | None = None, horizon: int | None = None) -> Rollout:
        """As `rollout.Population.roll_out`. Raises ClusterError when no device is left."""
        self._networks.reset()
        job = Job(np.broadcast_to(seed, self._networks.population), moments, horizon)
        for worker in self._workers:
            worker.jobs.put(job)
        try:
            while not job.wait(POLL):
                self._see_that_someone_is_there()
        finally:
            job.close()
        self._counts += job.counts
        return job.rollout

    def _see_that_someone_is_there(self) -> None:
        if self._fleet.simulated:
            return
        if not all(device.is_gone(self._fleet.grace) for device in self._devices):
            return
        why = " ".join(f"{device.name}: {device.trouble}" for device in self._devices)
        raise ClusterError(
            f"No device of {self._fleet.where} is left to run episodes. {why}",
            "What was learned before is safe; resume when one is back.",
        ) from self._devices[0].trouble


# --- what the threads share -----------------------------------------------------------------


class Stopped(Exception):
    """Nobody waits for this episode any more."""


class Job:
    """A generation's episodes: whose are still to be run, and what came of the others.

    Threads take members until there are none; what they took they `note`, `give_back` or forget,
    and then `release`. Who takes single members also takes over those that are late: whoever is
    done first is noted, to the same bits.
    """

    def __init__(
        self, seeds: np.ndarray, moments: Moments | None = None, horizon: int | None = None
    ):
        self.seeds = seeds
        self.horizon = horizon
        self.rollout = Rollout(np.zeros(len(seeds)), np.zeros(len(seeds), np.int64))
        self.counts = np.zeros(2, np.int64)
        self.closed = False
        self._moments = moments
        self.ready: set[str] = set()  # devices that are where members can be run
        self._waiting = deque(range(len(seeds)))
        self._done = np.zeros(len(seeds), bool)
        self._taken: dict[int, float] = {}  # when, of those that were taken by themselves
        self._slowest = 0.0  # s that one of them took
        self._losses = Counter()
        self._at_work = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def take(self, most: int) -> slice | None:
        """Up to `most` neighbours; None when all is done. Waits while others have the last ones:
        they may be lost."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closed)
            if self.closed:
                return None
            first = last = self._waiting.popleft()
            while last - first + 1 < most and self._waiting and self._waiting[0] == last + 1:
                last = self._waiting.popleft()
            self._at_work += 1
            return slice(first, last + 1)

    def take_one(self) -> slice | None:
        """The next one, or one that is late and that nobody else took over; None when all is done.
        Waits while others have the last ones."""
        with self._changed:
            while not (self.closed or self._waiting):
                now = time.monotonic()
                after = max(LATE_LEAST, LATE * self._slowest)
                for member, since in self._taken.items():
                    if self._slowest and now - since > after:
                        self._taken[member] = float("inf")  # nobody more
                        self._at_work += 1
                        return slice(member, member + 1)
                self._changed.wait(POLL)
            if self.closed:
                return None
            member = self._waiting.popleft()
            self._taken[member] = time.monotonic()
            self._at_work += 1
            return slice(member, member + 1)

    def new_moments(self, members: slice) -> Moments | None:
        if self._moments is None:
            return None
        return Moments(members.stop - members.start, self._moments.centre)

    def note(self, members: slice, rollout: Rollout, moments: Moments | None, counts=(0, 0)):
        with self._changed:
            if self.closed or self._done[members].all():
                return
            since = self._taken.pop(members.start, float("inf"))
            self._slowest = max(self._slowest, time.monotonic() - since)
            self.rollout.put(members, rollout)
            if moments is not None:
                self._moments.put(members, moments)
            self.counts += counts
            self._done[members] = True
            self.closed = bool(self._done.all())
            self._changed.notify_all()

    def give_back(self, members: slice, why: str) -> None:
        """They were lost with a device, and go to whoever is free."""
        with self._changed:
            if self._done[members].all():
                return
            self._taken.pop(members.start, None)
            self._waiting.extendleft(reversed(range(members.start, members.stop)))
            self._losses.update(range(members.start, members.stop))
            member, losses = self._losses.most_common(1)[0]
            if losses >= MOST_TRIES:
                self._error = ClusterError(
                    f"Devices were lost {losses} times with member {member}; the last: {why}",
                    "What was learned before is safe; resume when the cause is found.",
                )
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Ends it all: the error goes to whoever waits."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def release(self) -> None:
        with self._changed:
            self._at_work -= 1
            self._changed.notify_all()

    def arrive(self, name: str) -> None:
        """A device is where members can be run."""
        with self._changed:
            self.ready.add(name)
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Whether all is done, by then. Raises what ended it."""
        return self._wait(lambda: self.closed, seconds)

    def wait_for(self, names: set[str], seconds: float) -> bool:
        """Whether all of these devices have arrived, by then. Raises what ended it."""
        return self._wait(lambda: names <= self.ready, seconds)

    def _wait(self, what: Callable[[], bool], seconds: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: what() or self._error, seconds)
            if self._error:
                raise self._error
            return what()

    def close(self) -> None:
        """Lets go of what is still being run, and waits, for a while, for those who run it."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._at_work == 0, CLOSE)

    def rest(self, seconds: float) -> None:
        """Waits so long, or until all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed, seconds)


class Worker(threading.Thread):
    """A thread that serves one job after another, until it gets None. A daemon: one that hangs in a
    driver must not keep the program from ending."""

    def __init__(self, name: str, task: Task, members: Members):
        super().__init__(name=name, daemon=True)
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._task = task
        self._members = members

    def run(self) -> None:
        try:
            while (job := self.jobs.get()) is not None:
                self.serve(job)
        finally:
            self.leave()

    def serve(self, job: Job) -> None:
        raise NotImplementedError

    def leave(self) -> None:
        """Gives up what it holds."""


# --- simulated ------------------------------------------------------------------------------


class Simulator(Worker):
    """Runs `size` members at a time by the engine, on plants of its own."""

    def __init__(self, number: int, task: Task, members: Members, size: int):
        super().__init__(f"simulator {number}", task, members)
        self._size = size
        self._populations: dict[int, tuple[StoppablePart, Population]] = {}

    def serve(self, job: Job) -> None:
        while (members := job.take(self._size)) is not None:
            moments = job.new_moments(members)
            part, population = self._population(members.stop - members.start)
            part.first, part.job = members.start, job
            try:
                rollout = population.roll_out(job.seeds[members], moments, job.horizon)
                job.note(members, rollout, moments)
            except Stopped:
                pass
            except Exception as error:
                job.fail(error)
            finally:
                job.release()

    def leave(self) -> None:
        for _, population in self._populations.values():
            population.__exit__()

    def _population(self, size: int) -> tuple[StoppablePart, Population]:
        if size not in self._populations:
            part = StoppablePart(self._members.networks, size)
            self._populations[size] = part, Population(self._task, part, 1)
        return self._populations[size]


class StoppablePart(Part):
    job: Job

    def act(self, members: slice, observations, live):
        if self.job.closed:
            raise Stopped
        return super().act(members, observations, live)


# --- on a device ----------------------------------------------------------------------------


class DeviceWorker(Worker):
    """Runs a member at a time on one device of the fleet. A device that is lost is looked for again
    and again; one that computes something else than its twin, or takes no policy, is retired."""

    def __init__(self, name: str, opener: Opener, task: Task, members: Members):
        super().__init__(name, task, members)
        self.trouble: WorldError | None = None  # what was the matter with it last
        self.is_retired = False
        self.losses = 0
        self._opener = opener
        self._lost_since: float | None = NEVER
        self._rest = REST
        self._opened = ExitStack()
        self._seat: Seat | None = None
        self._member = DeviceMember(task)
        self._population: Population | None = None

    def is_gone(self, grace: float) -> bool:
        """Whether nobody should wait for it: it is retired, or lost for longer than `grace`
        seconds, however often it was opened meanwhile, or was tried and never there."""
        lost = self.trouble is not None and self._lost_since is not None and self._seat is None
        return self.is_retired or (lost and time.monotonic() - self._lost_since > grace)

    def serve(self, job: Job) -> None:
        while not (job.closed or self.is_retired):
            try:
                self._open()
                self._seat.prepare()
                self._lost_since = None
                job.arrive(self.name)
            except WorldError as error:  # an emulator may end, too
                self._lose(error)
                job.rest(self._rest)
                self._rest = min(2 * self._rest, LONGEST_REST)
            except Exception as error:
                return job.fail(error)
            else:
                self._serve_open(job)

    def leave(self) -> None:
        if self._population:
            self._population.__exit__()
        if self._seat:
            self._seat.leave()
        self._opened.close()

    def _open(self) -> None:
        if self._seat is None:
            device = self._opened.enter_context(self._opener())
            self._seat = self._members.seat(self.name, device)
            self._member.device = device
            self._rest = REST
            if self._lost_since == NEVER:
                self._lost_since = time.monotonic()

    def _serve_open(self, job: Job) -> None:
        """Runs members until there are none, or the device is lost."""
        while (members := job.take_one()) is not None:
            try:
                self._run(members, job)
            except Stopped:
                pass
            except (LinkError, LockstepLost) as error:
                self._lose(error)
                job.give_back(members, f"{self.name}: {error}")
                return
            except Exception as error:
                job.fail(error)
                return
            finally:
                job.release()

    def _run(self, members: slice, job: Job) -> None:
        if self._population is None:
            self._population = Population(self._task, self._member, 1)
        moments = job.new_moments(members)
        self._member.begin(self._seat, self._seat.put(members.start), job)
        rollout = self._population.roll_out(job.seeds[members], moments, job.horizon)
        counts = self._member.end()
        self._seat.note(np.array(self._member.applied))
        job.note(members, rollout, moments, counts)

    def _lose(self, error: WorldError) -> None:
        self.is_retired = isinstance(error, LockstepLost) or (
            isinstance(error, DeviceRefused) and error.code in BROKEN
        )
        if f"{error}" != f"{self.trouble}":
            fate = "it gets no more members" if self.is_retired else "it is tried again"
            log.warning("%s is lost, and %s: %s", self.name, fate, error)
        if self.is_retired and self._seat:
            self._seat.leave()
        self.trouble = error
        self.losses += 1
        if self._lost_since is None:
            self._lost_since = time.monotonic()
        self._seat = None
        self._opened.close()


class DeviceMember:
    """The member that a device runs, as `rollout.Networks`; its twin computes along."""

    population = 1

    device: Device
    applied: list[np.ndarray]  # (n_act,) int16 of each step of its episode

    def __init__(self, task: Task):
        self._low = np.array(task.low, np.float32)
        self._high = np.array(task.high, np.float32)

    def begin(self, seat: Seat, policy: Policy, job: Job) -> None:
        """The policy that the device runs next, from its seat."""
        self._seat = seat
        self._policy = policy
        self._twin = Twin(policy)
        self._job = job

    def reset(self) -> None:
        if self._seat.limits:
            self._last = self.device.status().outputs  # the safe action
        self._seat.begin()
        self._twin.reset()
        self.applied = []

    def act(self, members: slice, observations: np.ndarray, live: np.ndarray) -> np.ndarray:
        if self._job.closed:
            self.device.stop()
            raise Stopped
        raw = self._policy.observation_map.encode(observations[0])
        reply = self.device.step(raw)
        if differing_bits(self.device, self._twin, reply, self._twin.step(raw)):
            raise LockstepLost(
                f"{self.device.hello.board} computes something else than its twin.",
                "`ecedge run` tells where; look at its clock, its supply and its memory.",
            )
        applied = reply.output
        if self._seat.limits:
            applied = self._last = within(self._seat.limits, applied, self._last)
        self.applied.append(applied)
        return decode_action(self._policy.spec, applied[None], self._low, self._high)

    def end(self) -> tuple[int, int]:
        """Stops the device; (spikes, substeps of neurons) of the episode."""
        self.device.stop()
        return self._twin.counts
