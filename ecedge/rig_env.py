"""A plant on the device's side as a gymnasium environment: `ecedge.hil.RigEnv`.

learner ──action──> outputs ──ACT──> device: limits ─> plant
        <─observation, reward── counts ──── sense, judge <┘   a period after the last counts
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gymnasium
import numpy as np

from .errors import LinkError, PolicyError, UsageError
from .link import REWARD_ONE, Device, EpisodeEnd, Limit, Observation, check_limits, period_ticks
from .model import Policy, encode_action
from .tasks import Task

SILENCE_MS = 4000  # a learner computes now and then between two steps
MOST_STEPS = (1 << 32) - 1


class RigEnv(gymnasium.Env):
    """The plant of a connected device as an environment for any RL library.

        with open_device("/dev/ttyACM0") as device:
            environment = RigEnv(device, policy, task, period_ms=20.0)

    The spaces, and after how many steps an episode is truncated, are the task's. The device must
    already run `policy`: it has the task's numbers of observations and actions, and its map says
    what a count is; its network takes no part. period_ms: between observations, by the device's
    clock; 0 is as fast as the learner acts. limits: of each output; None: what the plant bears.
    silence_ms: without a step for so long the device makes itself safe, and the next step is a
    LinkError.

    A step is truncated when its action came later than a period after the observation it follows
    from (`info["deadline_missed"]`), and terminated when the plant says that the episode has ended
    or failed (`info["fault"]`); the plant is at its safe action then. `info["applied"]`: (n_act,)
    int16, the outputs within limits. Trouble with the link is a LinkError, and never a reward;
    `reset` connects anew after it, and uploads the policy where the device has lost it.
    """

    metadata = {"render_modes": []}

    def __init__(
        self,
        device: Device,
        policy: Policy,
        task: Task,
        period_ms: float = 0.0,
        limits: Sequence[Limit] | None = None,
        silence_ms: int = SILENCE_MS,
    ):
        spec = policy.spec
        if (spec.n_obs, spec.n_act, spec.actions) != (task.n_obs, task.n_act, task.actions):
            raise PolicyError(
                f"The policy is not of {task.id}: its observations or actions are others.",
                "Give the task that it was made for.",
            )
        device.check_policy(policy)
        check_limits(limits or (), spec.n_act)
        hz = device.hello.tick_hz
        self._period = period_ticks(device, period_ms, most=hz)
        if self._period and silence_ms * hz >= 1000 << 32:
            raise UsageError(
                f"{device.hello.board} does not measure a step of {silence_ms} ms.",
                f"Give a silence_ms of less than {(1000 << 32) / hz:.0f}, or a period_ms of 0.",
            )
        environment = task.make_single()
        self.observation_space = environment.observation_space
        self.action_space = environment.action_space
        environment.close()
        self._device = device
        self._policy = policy
        self._bounds = task.low, task.high
        self._limits = limits or [Limit()] * spec.n_act
        self._silence_ms = silence_ms
        self._most = task.max_episode_steps or MOST_STEPS
        self._total = 0  # of the episode's rewards
        self._runs = False
        self._lost = False  # since the last word of the device
        self._link(lambda: device.limit(self._limits))

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """(observation, info) of an episode's beginning. The seed is the plant's, modulo 2^32; None
        draws one, which `info["seed"]` tells too."""
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(1 << 32)) if seed is None else seed % (1 << 32)
        if self._lost:
            self._reconnect()
        begin = drawn, self._most, self._period, self._silence_ms
        seen = self._link(lambda: self._device.begin_hosted(*begin))
        self._runs, self._total = True, 0
        return self._observation(seen), {"seed": drawn}

    def step(self, action):
        """(observation, reward, terminated, truncated, info)."""
        if not self._runs:
            raise UsageError("No episode runs on the rig.", "Call reset() first.")
        outputs = encode_action(self._policy.spec, action, *self._bounds)
        seen = self._link(lambda: self._device.act(outputs))
        episode = seen.episode
        reward, self._total = (episode.total - self._total) / REWARD_ONE, episode.total
        missed = episode.misses > 0
        terminated = episode.end in (EpisodeEnd.DONE, EpisodeEnd.FAULT)
        truncated = not terminated and (missed or not episode.runs)
        if missed and episode.runs:
            self._link(self._device.stop)
        self._runs = not (terminated or truncated)
        info = {
            "applied": seen.applied,
            "fault": episode.end == EpisodeEnd.FAULT,
            "deadline_missed": missed,
        }
        return self._observation(seen), reward, terminated, truncated, info

    def close(self) -> None:
        """Stops the plant. The device stays open."""
        if not self._lost:
            try:
                self._link(self._device.stop)
            except LinkError:
                pass  # it falls to its safe action by itself
        self._runs = False

    def _link(self, talk: Callable):
        """What the device answers; after a LinkError nothing is known of it."""
        try:
            return talk()
        except LinkError:
            self._runs, self._lost = False, True
            raise

    def _reconnect(self) -> None:
        device = self._device
        if device.connect().policy_hash != self._policy.hash:
            device.upload(self._policy)
        device.limit(self._limits)
        self._lost = False

    def _observation(self, seen: Observation) -> np.ndarray:
        physical = self._policy.observation_map.decode(seen.raw)
        return physical.astype(self.observation_space.dtype)
