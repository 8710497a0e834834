"""Sensors that err and actions that come late, around any task's plants."""

from __future__ import annotations

import numpy as np

from .plants import Plants
from .task import Task
from .variation import stream

BLOCK = 64  # observations for which noise is drawn at once


class Disturbed(Plants):
    """`plants` behind noisy, biased sensors and delayed actions, as the task's variation tells.

    Rewards and ends are the plant's own, of its true state and of the actions that reached it.
    """

    def __init__(self, task: Task, plants: Plants):
        super().__init__(task, plants.population)
        self._plants = plants
        self._discrete = task.discrete
        self._n_obs = task.n_obs
        self._rest = np.zeros(task.n_act).clip(task.low, task.high) if task.low else 0
        variation = task.variation
        self._noise_deviation = np.array(variation.sensor_noise)
        self._bias_deviation = np.array(variation.sensor_bias)
        self._delays = variation.action_delay

    def begin(self, seeds):
        distinct = list(dict.fromkeys(seeds))
        place = {seed: k for k, seed in enumerate(distinct)}
        self._plant = np.array([place[seed] for seed in seeds])  # (P,) which of the seeds
        if self._delays[1]:
            low, high = self._delays
            drawn = [stream(s, "action_delay").integers(low, high + 1) for s in distinct]
            self._delay = np.array(drawn)[self._plant]
        if self._bias_deviation.size:
            drawn = [stream(s, "sensor_bias").standard_normal(self._n_obs) for s in distinct]
            self._bias = np.array(drawn) * self._bias_deviation
        self._noises = [stream(seed, "sensor_noise") for seed in distinct]
        return self._sense(slice(None), self._plants.begin(seeds), 0)

    def advance(self, live, actions):
        # Counted by reset and step: the steps that are done.
        reached = self._late(live, actions, self._elapsed) if self._delays[1] else actions
        observations, rewards, terminated, truncated = self._plants.advance(live, reached)
        observations = self._sense(live, observations, self._elapsed + 1)
        return observations, rewards, terminated, truncated

    def _late(self, live, actions, step: int) -> np.ndarray:
        """The actions (L, ...) that reach the plant in this step, sent `delay` steps before."""
        slots = self._delays[1] + 1
        if step == 0:
            # No index of discrete actions stands for rest: there the first is held.
            self._sent = np.empty((slots, *actions.shape), actions.dtype)
            self._sent[:] = actions if self._discrete else self._rest
        self._sent[step % slots, live] = actions
        members = np.arange(self.population)[live]
        return self._sent[(step - self._delay[members]) % slots, members]

    def _sense(self, live, observations, number: int) -> np.ndarray:
        """The `number`th observations of the episode (L, n_obs) as the sensors tell them."""
        errors = 0.0
        plant = self._plant[live]
        if self._noise_deviation.size:
            if number % BLOCK == 0:
                shape = BLOCK, self._n_obs
                blocks = [noise.standard_normal(shape) for noise in self._noises]
                self._noise = np.array(blocks) * self._noise_deviation
            errors = self._noise[plant, number % BLOCK]
        if self._bias_deviation.size:
            errors = errors + self._bias[plant]
        return (observations + errors).astype(observations.dtype)

    def close(self) -> None:
        self._plants.close()
