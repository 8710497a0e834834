"""Every device of a rig at once, a thread each; a lost one is looked for again.

      ┌────────── lost: wait for it to come back, connect, go on with the next episode ─┐
find ─┴─ connect ── upload ── episode, episode, … ──┬──────────────────────────────────┘
                                                    └── all ended, or it failed: done
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import datetime

from ..devices import locate, open_device
from ..errors import EcedgeError, NoDevice
from ..hil import Episode, Step, run_episodes
from ..link import Device
from ..model import Policy
from ..rig import Rig, RigDevice
from ..tasks import Task
from .quarantine import Quarantine
from .results import Attempt, DeviceResult, Outcome, Plan, TestRun, outcome_of

RETURN_DEADLINE = 15.0  # seconds for a lost device to come back under whatever name
RETURN_PAUSE = 0.5


class Observer:
    """Looks on while devices run; one call at a time, from any thread. device: its name; episode:
    its number in the plan, from 0."""

    def on_step(self, device: str, episode: int, number: int, step: Step) -> None:
        """Step `number` of an episode is done."""

    def on_episode(self, device: str, number: int, episode: Episode) -> None:
        """An episode has ended."""

    def on_attempt(self, device: str, attempt: Attempt) -> None:
        """A connection has ended."""


class Stopped(Exception):
    """The run ends before its time."""


@dataclass(frozen=True)
class Lane:
    """One device's way through a run. tell: an observer whose calls are in turn; `stopping` ends
    the lane at its next step. asking: held by who looks for a chip id at ports until its own is
    open, for a port lets one in at a time."""

    rig: Rig
    device: RigDevice
    policy: Policy
    task: Task
    plan: Plan
    tell: Observer
    stopping: threading.Event
    asking: threading.Lock

    def run(self) -> DeviceResult:
        attempts: list[Attempt] = []
        while self.plan.goes_on(attempts):
            done = sum(len(attempt.episodes) for attempt in attempts)
            known = any(attempt.hello for attempt in attempts)
            attempts.append(self.attempt(done, known))
            self.tell.on_attempt(self.device.name, attempts[-1])
        return DeviceResult(
            self.device.name, self.plan, tuple(attempts), emulated=bool(self.device.emulate)
        )

    def attempt(self, first: int, known: bool) -> Attempt:
        """One connection, for the episodes from `first` on. known: the device was there before, so
        that its absence may end."""
        name, plan = self.device.name, self.plan
        begun = time.monotonic()
        hello, playing, episodes = None, False, []

        def ended(outcome: Outcome, message: str = "") -> Attempt:
            return Attempt(outcome, tuple(episodes), time.monotonic() - begun, hello, message)

        def note(seed: int, number: int, step: Step) -> None:
            if self.stopping.is_set():
                raise Stopped
            self.tell.on_step(name, seed - plan.seed, number, step)

        try:
            with ExitStack() as stack:
                link = self._open(stack, RETURN_DEADLINE if known else 0.0)
                hello = link.hello
                link.upload(self.policy)
                playing = True
                wanted = plan.episodes - first, plan.seed + first
                for episode in run_episodes(link, self.policy, self.task, *wanted, note):
                    episodes.append(episode)
                    self.tell.on_episode(name, episode.seed - plan.seed, episode)
        except Stopped:
            return ended(Outcome.INTERRUPTED, "The run was interrupted.")
        except EcedgeError as error:
            outcome = outcome_of(error, playing, known or hello is not None)
            if outcome is None:
                raise
            if first + len(episodes) < plan.episodes:
                return ended(outcome, str(error))
            # Else only STOP went wrong, and a device makes itself safe.
        return ended(Outcome.WRONG if any(map(plan.complaint, episodes)) else Outcome.PASSED)

    def _open(self, stack: ExitStack, patience: float) -> Device:
        """The device, wherever it is now; where it isn't there, within `patience` seconds."""
        end = time.monotonic() + patience
        while True:
            try:
                with self.asking if self.device.chip_id else nullcontext():
                    return stack.enter_context(open_device(locate(self.rig, self.device)))
            except NoDevice:
                if time.monotonic() >= end:
                    raise
                if self.stopping.wait(RETURN_PAUSE):
                    raise Stopped from None


def run_rig(
    rig: Rig,
    devices: Sequence[RigDevice],
    policy: Policy,
    task: Task,
    plan: Plan,
    quarantine: Quarantine,
    observers: Sequence[Observer] = (),
) -> TestRun:
    """Runs the plan on these devices of the rig, all at once.

    What goes wrong with a device is its result. Only what is no device's fault is raised: a full
    disk, a task that fails; the others end first. Ctrl-C ends all at their next step, and what they
    had is the result.
    """
    begun = datetime.now()
    tell, stopping, asking = _InTurn(observers), threading.Event(), threading.Lock()
    held = {device.name: quarantine.find(device.name, begun.date()) for device in devices}
    asked = [device for device in devices if not held[device.name]]
    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        running: dict[str, Future[DeviceResult]] = {
            device.name: pool.submit(
                Lane(rig, device, policy, task, plan, tell, stopping, asking).run
            )
            for device in asked
        }
        try:
            wait(running.values(), return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            pass
        finally:
            if not all(future.done() for future in running.values()):
                stopping.set()
    results = tuple(
        DeviceResult(device.name, plan, quarantine=held[device.name])
        if held[device.name]
        else running[device.name].result()
        for device in devices
    )
    return TestRun(rig.where, task.id, policy.hash, plan, begun, results)


class _InTurn(Observer):
    """Passes every call on to all, one call at a time."""

    def __init__(self, observers: Sequence[Observer]):
        self._observers = observers
        self._lock = threading.Lock()

    def on_step(self, *facts) -> None:
        self._tell("on_step", facts)

    def on_episode(self, *facts) -> None:
        self._tell("on_episode", facts)

    def on_attempt(self, *facts) -> None:
        self._tell("on_attempt", facts)

    def _tell(self, call: str, facts: tuple) -> None:
        with self._lock:
            for observer in self._observers:
                getattr(observer, call)(*facts)
