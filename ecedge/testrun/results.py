"""What a test run asks of devices, and what came of it.

TestRun ── DeviceResult ── Attempt ── Episode ── Step
           one a device    one a connection     (ecedge.hil)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from ..errors import (
    AbiMismatch,
    BoardError,
    BuildError,
    DeviceRefused,
    EcedgeError,
    LinkError,
    LinkTimeout,
    NoDevice,
    NotEcedge,
    ToolError,
    UsageError,
    WorldError,
)
from ..hil import Episode, Summary, summarise
from ..link import DeviceMode, ErrorCode, Hello
from ..model import Policy
from .quarantine import Entry


class Outcome(StrEnum):
    """How a device came out; only a link error is worth another try."""

    PASSED = "passed"
    WRONG = "wrong result"  # it ran the policy, and bits or a return are not what they must be
    FLASH = "flash error"  # its firmware can't be had, or does not take the policy
    LINK = "link error"  # it was there, and was lost
    ABSENT = "not there"  # nobody answers, another device does, or its emulator is missing
    QUARANTINED = "quarantined"  # it was not asked
    INTERRUPTED = "interrupted"  # the run ended before it could


@dataclass(frozen=True)
class Plan:
    """What every device is asked: `episodes`, the k-th from the task's seed `seed` + k.

    at_least: an episode that returns less is a wrong result. retries: how often in a row a lost
    device is looked for again without an episode in between. deadline_ms: for steps over the link;
    misses are told, and fail nobody.
    """

    episodes: int = 10
    seed: int = 0
    at_least: float | None = None
    retries: int = 2
    deadline_ms: float = 20.0

    def __post_init__(self):
        if self.episodes < 1:
            raise UsageError(f"{self.episodes} episodes cannot be run; give at least 1.")
        if self.seed < 0:
            raise UsageError(f"A seed is a number from 0, not {self.seed}.")
        if self.retries < 0:
            raise UsageError(f"A lost device cannot be retried {self.retries} times; give 0.")
        if not self.deadline_ms > 0:
            raise UsageError(
                f"A deadline of {self.deadline_ms:g} ms has passed already; give a later one."
            )

    def complaint(self, episode: Episode) -> str:
        """What is wrong with an episode; "" where nothing is."""
        if bits := episode.differing_bits:
            first = next(n for n, step in enumerate(episode.steps) if step.differing_bits)
            unit = "bit" if bits == 1 else "bits"
            return f"It differs from the host twin by {bits:,} {unit}, from step {first} on."
        if self.at_least is not None and not episode.total >= self.at_least:
            return f"It returned {episode.total:.1f}, less than {self.at_least:g}."
        return ""

    def goes_on(self, attempts: Sequence[Attempt]) -> bool:
        """Whether a device with these attempts behind it is asked once more."""
        in_a_row = 0
        for attempt in attempts:
            if attempt.outcome is not Outcome.LINK:
                return False
            in_a_row = 1 if attempt.episodes else in_a_row + 1
        return in_a_row <= self.retries


@dataclass(frozen=True)
class Attempt:
    """One connection to a device: the episodes that ended in it, and why it did. hello: None where
    nobody answered."""

    outcome: Outcome
    episodes: tuple[Episode, ...]
    seconds: float
    hello: Hello | None = None
    message: str = ""


@dataclass(frozen=True)
class DeviceResult:
    """What came of one device of the rig. quarantine: why it was not asked."""

    name: str
    plan: Plan
    attempts: tuple[Attempt, ...] = ()
    emulated: bool = False
    quarantine: Entry | None = None

    @cached_property
    def episodes(self) -> tuple[Episode, ...]:
        return tuple(episode for attempt in self.attempts for episode in attempt.episodes)

    @cached_property
    def outcome(self) -> Outcome:
        if self.quarantine:
            return Outcome.QUARANTINED
        if any(map(self.plan.complaint, self.episodes)):
            return Outcome.WRONG
        return self.attempts[-1].outcome

    @property
    def message(self) -> str:
        """Why it did not pass; "" where it did."""
        if self.quarantine:
            return str(self.quarantine)
        complaints = filter(None, map(self.plan.complaint, self.episodes))
        return next(complaints, self.attempts[-1].message)

    @cached_property
    def losses(self) -> tuple[tuple[int, Attempt], ...]:
        """(number of the episode that it was lost in, attempt) of every link error."""
        found, done = [], 0
        for attempt in self.attempts:
            done += len(attempt.episodes)
            if attempt.outcome is Outcome.LINK:
                found.append((done, attempt))
        return tuple(found)

    @cached_property
    def mended(self) -> tuple[tuple[int, Attempt], ...]:
        """The losses after which it was tried again."""
        return tuple(loss for loss in self.losses if loss[1] is not self.attempts[-1])

    @property
    def hello(self) -> Hello | None:
        """The last that it said of itself."""
        return next((a.hello for a in reversed(self.attempts) if a.hello), None)

    def summary(self, policy: Policy) -> Summary | None:
        """Of its episodes; None where none ended."""
        if not self.episodes:
            return None
        facts = self.hello.tick_hz, self.plan.deadline_ms, self.emulated
        return summarise(list(self.episodes), policy, *facts)

    @property
    def seconds(self) -> float:
        return sum(attempt.seconds for attempt in self.attempts)

    @property
    def steps(self) -> int:
        return sum(len(episode.steps) for episode in self.episodes)

    @property
    def differing_bits(self) -> int:
        return sum(episode.differing_bits for episode in self.episodes)


@dataclass(frozen=True)
class TestRun:
    """A run over the devices of a rig, in the rig's order. begun: local time."""

    __test__ = False  # for pytest: it is no test

    rig: str
    task: str
    policy_hash: str
    plan: Plan
    begun: datetime
    devices: tuple[DeviceResult, ...]

    @property
    def passed(self) -> bool:
        """Whether somebody was asked, and all of them passed."""
        asked = [d.outcome for d in self.devices if d.outcome is not Outcome.QUARANTINED]
        return bool(asked) and set(asked) == {Outcome.PASSED}

    @property
    def steps(self) -> int:
        return sum(device.steps for device in self.devices)

    @property
    def differing_bits(self) -> int:
        return sum(device.differing_bits for device in self.devices)

    def to_isolate(self, days: int) -> list[Entry]:
        """An entry of the quarantine for each device that failed, for so many days from now on. Who
        isn't there needs none."""
        failed = {Outcome.WRONG, Outcome.FLASH, Outcome.LINK}
        until = self.begun.date() + timedelta(days)
        return [
            Entry(
                device.name, f"{device.outcome} on {self.begun:%Y-%m-%d}: {device.message}", until
            )
            for device in self.devices
            if device.outcome in failed
        ]

    @property
    def interrupted(self) -> bool:
        return any(device.outcome is Outcome.INTERRUPTED for device in self.devices)


def outcome_of(error: EcedgeError, playing: bool, known: bool) -> Outcome | None:
    """What an error says of the device that met it; None where it says nothing of any device.

    playing: the policy was accepted before. known: the device answered earlier in this run.
    """
    match error:
        case LinkTimeout():
            return Outcome.LINK
        case DeviceRefused(code=ErrorCode.SESSION):  # it restarted
            return Outcome.LINK
        case DeviceRefused(code=ErrorCode.MODE, detail=mode):
            return Outcome.FLASH if mode == DeviceMode.FAULT else Outcome.LINK
        case NoDevice() | NotEcedge():
            return Outcome.LINK if known else Outcome.ABSENT
        case AbiMismatch() | BoardError() | BuildError():
            return Outcome.FLASH
        case ToolError():
            return Outcome.ABSENT
        case LinkError():
            return Outcome.WRONG if playing else Outcome.FLASH
    return Outcome.LINK if type(error) is WorldError else None  # an emulator ended by itself
