"""Hardware in the loop: a device drives the task, its twin computes along, bits are compared.

    task ──observation──> counts ──STEP──> device ──outputs──> action ──> task
                             └──────────> host twin ──outputs, state digest──> must be equal

The twin is the engine that trained the policy: equality says that what runs is what trained.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from .engine import Batch
from .errors import PolicyError
from .link import Device, Limit, check_limits
from .model import Policy, decode_action
from .tasks import Task

SILENCE_MS = 2000  # the device makes itself safe when its host is gone for longer


class Twin:
    """The policy on the host: `step` gives the outputs and the digest that a device must."""

    def __init__(self, policy: Policy):
        self._networks = Batch(policy.spec, 1, threads=1)
        self._networks.set_map(policy.observation_map)
        self._networks.load(0, policy.synapses)
        self.digest = 0

    def reset(self) -> None:
        self._networks.reset()
        self.digest = 0

    def step(self, raw: np.ndarray) -> np.ndarray:
        """(n_obs,) int16 -> (n_act,) int16."""
        output = self._networks.step(raw[None])[0]
        self.digest = zlib.crc32(self.state(), self.digest)
        return output

    def state(self) -> bytes:
        return self._networks.state(0)

    @property
    def counts(self) -> tuple[int, int]:
        """(spikes, substeps of neurons) of all steps so far."""
        return self._networks.counts


def __getattr__(name: str):
    """`RigEnv`, whose gymnasium is loaded for those alone who ask for it."""
    if name == "RigEnv":
        from .rig_env import RigEnv

        return RigEnv
    raise AttributeError(f"module {__name__} has no attribute {name}")


class DevicePolicy:
    """A connected device as the evaluators of RL libraries want a policy: with `predict`.

        with open_device("virtual", policy) as device:
            evaluate_policy(DevicePolicy(device, policy, task), environment)

    The device must already run `policy`, else PolicyError. One device drives one environment, whose
    observations and actions are those of `task.make_single()`. silence_ms: see `Device.reset`; an
    evaluator that pauses for longer finds the device safe, and is refused.
    """

    def __init__(self, device: Device, policy: Policy, task: Task, silence_ms: int = SILENCE_MS):
        device.check_policy(policy)
        self._device = device
        self._policy = policy
        self._low = np.array(task.low, np.float32)
        self._high = np.array(task.high, np.float32)
        self._silence_ms = silence_ms
        self._steps: int | None = None  # in this episode; None before the first

    def predict(self, observation, state=None, episode_start=None, deterministic: bool = True):
        """(the action for an observation, the state to give with the next one).

        observation: (n_obs,), or (1, n_obs) of a vector of one environment; the action is alike.
        episode_start: whether the observation is an episode's first, or (1,) of that; the device is
        reset then. Left out, it is where no state is given. The state itself stays on the device:
        what stands for it is the number of steps, and another than the last is a PolicyError.
        deterministic: of no effect, a device never draws.
        """
        raw = self._policy.observation_map.encode(self._checked(observation))
        begins = state is None if episode_start is None else bool(np.any(episode_start))
        if begins or self._steps is None:
            self._device.reset(digest=False, silence_ms=self._silence_ms)
            self._steps = 0
        elif state is not None and state != self._steps:
            raise PolicyError(
                f"The device is at step {self._steps} of its episode, not at {state}.",
                "It holds one state: give back what predict() returned last.",
            )
        output = self._device.step(raw.reshape(-1)).output
        self._steps += 1
        action = decode_action(
            self._policy.spec, output.reshape(*raw.shape[:-1], -1), self._low, self._high
        )
        return action, self._steps

    def _checked(self, observation) -> np.ndarray:
        array = np.asarray(observation)
        n_obs = self._policy.spec.n_obs
        if array.shape not in ((n_obs,), (1, n_obs)):
            raise PolicyError(
                f"A device takes one observation of {n_obs} numbers, not shape {array.shape}.",
                "Evaluate on one environment at a time.",
            )
        return array


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One observation -> action pair on the device.

    raw: (n_obs,) int16 counts that went down; output: (n_act,) int16 that came up; digest: of the
    device's state since the episode began; ticks: of its own clock. latency: seconds from sending
    the counts to having the outputs; differing_bits: outputs and state against the twin's; reward:
    the plant's for `applied`: the output within limits.
    """

    raw: np.ndarray
    output: np.ndarray
    digest: int
    ticks: int
    spikes: int
    latency: float
    differing_bits: int
    reward: float
    applied: np.ndarray


@dataclass(frozen=True)
class Episode:
    """One episode's result, and its steps."""

    seed: int
    total: float
    steps: tuple[Step, ...]

    @property
    def differing_bits(self) -> int:
        return sum(step.differing_bits for step in self.steps)


@dataclass(frozen=True)
class Summary:
    """What a run of episodes showed. Latencies are milliseconds; `ticks_*` are of the device's own
    clock at `tick_hz`, for one control step without the link. An emulated device's clock follows
    the computer and tells nothing of the board's speed."""

    returns: tuple[float, ...]
    steps: int
    mean_return: float
    least_return: float
    latency_median_ms: float
    latency_p99_ms: float
    deadline_ms: float
    deadline_misses: int
    ticks_median: float
    ticks_most: int
    tick_hz: int
    emulated: bool
    differing_bits: int
    activity: float

    @property
    def episodes(self) -> int:
        return len(self.returns)

    @property
    def clock(self) -> str:
        return "the emulator's clock, not the board's" if self.emulated else "the device's clock"

    def to_dict(self) -> dict:
        return asdict(self)


def run_episodes(
    device: Device,
    policy: Policy,
    task: Task,
    episodes: int,
    seed: int = 0,
    note: Callable[[int, int, Step], None] | None = None,
    plant=None,
    limits: Sequence[Limit] = (),
) -> Iterator[Episode]:
    """Yields each episode as it ends. The device must already run `policy`.

    Episode k begins with the task's seed `seed + k`. note: called with (seed, number of the step,
    step) as soon as a step is done. plant: what is driven, and closed in the end, instead of the
    stock environment: `task.make_varied()`, say. limits: of each output, or none; the device keeps
    what it applies to them, and what reaches the plant here is that. Raises LinkError when the
    device is lost; the episodes that were yielded stay good.
    """
    check_limits(limits, policy.spec.n_act)
    twin = Twin(policy)
    low, high = np.array(task.low, np.float32), np.array(task.high, np.float32)
    environment = plant or task.make_single()
    try:
        held = device.limit(limits) if limits else []
        for number in range(episodes):
            steps: list[Step] = []
            total = 0.0
            if held:
                device.stop()
                applied = device.status().outputs  # the safe action
            device.reset(digest=True, silence_ms=SILENCE_MS)
            twin.reset()
            observation, _ = environment.reset(seed=seed + number)
            ended = False
            while not ended:
                raw = policy.observation_map.encode(observation)
                begun = time.perf_counter()
                reply = device.step(raw)
                latency = time.perf_counter() - begun
                differing = differing_bits(device, twin, reply, twin.step(raw))
                applied = within(held, reply.output, applied) if held else reply.output
                action = decode_action(policy.spec, applied, low, high)
                observation, reward, terminated, truncated, _ = environment.step(action)
                total += float(reward)
                ended = terminated or truncated
                device_side = reply.output, reply.digest, reply.ticks, reply.spikes
                steps.append(Step(raw, *device_side, latency, differing, float(reward), applied))
                if note:
                    note(seed + number, len(steps) - 1, steps[-1])
            yield Episode(seed + number, total, tuple(steps))
        device.stop()
    finally:
        environment.close()


def within(limits: Sequence[Limit], outputs: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(n_act,) int16: what a device applies of its outputs, `before` being what it applied last."""
    pairs = zip(limits, outputs.tolist(), before.tolist(), strict=True)
    return np.array([limit.apply(*pair) for limit, *pair in pairs], np.int16)


def differing_bits(device: Device, twin: Twin, reply, expected: np.ndarray) -> int:
    """Bits of outputs and state that differ. The state is fetched only if its digest differs."""
    bits = count_bits(reply.output.tobytes(), expected.tobytes())
    if reply.digest != twin.digest:
        # The digest runs over the whole episode: it differs once the state ever did.
        bits += max(1, count_bits(device.peek(), twin.state()))
    return bits


def count_bits(ours: bytes, theirs: bytes) -> int:
    return (int.from_bytes(ours, "little") ^ int.from_bytes(theirs, "little")).bit_count()


def control_period_ms(task: Task) -> float:
    """The task's own control period, from its frame rate; 20 ms where it names none."""
    environment = task.make_single()
    try:
        rate = environment.metadata.get("render_fps") or 50
    finally:
        environment.close()
    return 1000.0 / rate


def summarise(
    results: list[Episode],
    policy: Policy,
    tick_hz: int,
    deadline_ms: float,
    emulated: bool = False,
) -> Summary:
    returns = tuple(episode.total for episode in results)
    steps = [step for episode in results for step in episode.steps]
    latencies = np.array([step.latency for step in steps]) * 1000
    ticks = np.array([step.ticks for step in steps])
    spec = policy.spec
    return Summary(
        returns=returns,
        steps=len(steps),
        mean_return=float(np.mean(returns)),
        least_return=float(np.min(returns)),
        latency_median_ms=float(np.median(latencies)),
        latency_p99_ms=float(np.percentile(latencies, 99)),
        deadline_ms=deadline_ms,
        deadline_misses=int((latencies > deadline_ms).sum()),
        ticks_median=float(np.median(ticks)),
        ticks_most=int(ticks.max()),
        tick_hz=tick_hz,
        emulated=emulated,
        differing_bits=sum(episode.differing_bits for episode in results),
        activity=sum(step.spikes for step in steps) / (len(steps) * spec.substeps * spec.n_neurons),
    )
