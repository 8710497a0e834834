"""Device-clocked episodes: plant and clock are the device's, a twin on the host proves them.

EPISODE ──> device: sense ─> network ─> limits ─> plant, step after step, by its own clock
RESULT  <── steps, return, clamps, misses, lateness, CRC of counts and outputs applied
                                                       must equal the twin's
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import PlantFault
from .hil import SILENCE_MS, Twin, within
from .link import REWARD_ONE, Device, EpisodeEnd, EpisodeResult, Limit, check_limits, period_ticks
from .model import Policy
from .plants import PLANTS

ASK_SOON, ASK_LATE = 0.01, 0.5  # seconds between questions whether an episode has ended


@dataclass(frozen=True)
class Trajectory:
    """What an episode must come to, by the plant's twin and the network's."""

    steps: int
    total: int
    clamps: int
    crc: int


@dataclass(frozen=True)
class ClockedEpisode:
    """An episode that ended, and the seed that began it. expected: what its twin came to; None
    where the device's plant has no twin here."""

    seed: int
    result: EpisodeResult
    expected: Trajectory | None

    @property
    def total(self) -> float:
        return self.result.total / REWARD_ONE

    @property
    def is_equal(self) -> bool | None:
        """Whether every count and every output was the twin's; None without a twin."""
        if self.expected is None:
            return None
        result = self.result
        return self.expected == Trajectory(
            result.steps, result.total, result.clamps, result.trajectory
        )


@dataclass(frozen=True)
class ClockedSummary:
    """What a run of device-clocked episodes showed. Lateness is milliseconds on the device's clock;
    an emulated device's follows the computer. differing: episodes whose trajectory was not the
    twin's; None where no twin is known."""

    plant: str
    returns: tuple[float, ...]
    steps: int
    mean_return: float
    least_return: float
    period_ms: float
    clamps: int
    misses: int
    least_late_ms: float
    mean_late_ms: float
    most_late_ms: float
    emulated: bool
    differing: int | None

    @property
    def episodes(self) -> int:
        return len(self.returns)


def run_clocked(
    device: Device,
    policy: Policy,
    episodes: int,
    steps: int,
    seed: int = 0,
    period_ms: float = 0.0,
    limits: Sequence[Limit] | None = None,
    silence_ms: int = SILENCE_MS,
    twin: Callable | None = None,
) -> Iterator[ClockedEpisode]:
    """Yields each episode as it ends, of at most `steps`. The device must already run `policy`.

    Episode k begins with the seed `seed + k`. period_ms: 0 is as fast as the device can. limits: of
    each output; None: what the plant bears. twin: see `ecedge.plants`; by default the one of the
    plant's name. Raises PlantFault when an episode ends otherwise than by its plant or its steps.
    """
    period = period_ticks(device, period_ms)
    device.check_policy(policy)
    n_act = policy.spec.n_act
    check_limits(limits or (), n_act)
    twin = twin or PLANTS.get(device.result().plant)
    held = device.limit(limits or [Limit()] * n_act)
    for number in range(seed, seed + episodes):
        device.begin_episode(number, steps, period, silence_ms)
        result = await_end(device, silence_ms)
        if result.end not in (EpisodeEnd.DONE, EpisodeEnd.STEPS):
            raise PlantFault(
                f"The episode with seed {number} ended after {result.steps} steps: "
                f"{WHY.get(result.end, f'for a reason {result.end} of a newer firmware')}.",
                "The device is safe. Look at its plant, then begin again.",
            )
        expected = replay(twin, policy, number, steps, held) if twin else None
        yield ClockedEpisode(number, result, expected)
    device.stop()


WHY = {
    EpisodeEnd.NONE: "the device knows of none",
    EpisodeEnd.STOPPED: "another request stopped it",
    EpisodeEnd.SILENCE: "this host asked too late for its result",
    EpisodeEnd.FAULT: "the plant asked for safety",
}


def await_end(device: Device, silence_ms: int) -> EpisodeResult:
    """The result of the episode that runs, once it has ended. Asking keeps it going."""
    latest = min(ASK_LATE, silence_ms / 4000) if silence_ms else ASK_LATE
    pause = min(ASK_SOON, latest)
    while (result := device.result()).runs:
        time.sleep(pause)
        pause = min(1.5 * pause, latest)
    return result


def replay(
    twin: Callable, policy: Policy, seed: int, steps: int, limits: Sequence[Limit]
) -> Trajectory:
    """What an episode comes to on the host, by the plant's twin and the engine's network."""
    network, plant = Twin(policy), twin(policy.observation_map)
    applied = np.zeros(policy.spec.n_act, np.int16)  # the safe action
    total = clamps = crc = taken = 0
    ended = False
    network.reset()
    plant.begin(seed)
    while not ended and taken < steps:
        raw = plant.sense()
        wanted = network.step(raw)
        applied = within(limits, wanted, applied)
        plant.apply(applied)
        crc = zlib.crc32(applied.tobytes(), zlib.crc32(raw.tobytes(), crc))
        clamps += int((applied != wanted).sum())
        reward, ended = plant.judge()
        total += reward
        taken += 1
    return Trajectory(taken, total, clamps, crc)


def summarise_clocked(
    results: Sequence[ClockedEpisode], tick_hz: int, period_ms: float, emulated: bool = False
) -> ClockedSummary:
    told = [episode.result for episode in results]
    returns = tuple(episode.total for episode in results)
    steps = sum(result.steps for result in told)
    equal = [episode.is_equal for episode in results]
    ms = 1000 / tick_hz
    return ClockedSummary(
        plant=told[0].plant,
        returns=returns,
        steps=steps,
        mean_return=float(np.mean(returns)),
        least_return=min(returns),
        period_ms=period_ms,
        clamps=sum(result.clamps for result in told),
        misses=sum(result.misses for result in told),
        least_late_ms=ms * min(result.least_late for result in told),
        mean_late_ms=ms * sum(result.sum_late for result in told) / steps,
        most_late_ms=ms * max(result.most_late for result in told),
        emulated=emulated,
        differing=None if None in equal else equal.count(False),
    )
