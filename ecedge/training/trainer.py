"""Training: generations of evolution on a task, saved after each so that nothing is ever lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..engine import Batch
from ..evolution import Evolution
from ..model import ObservationMap, Policy
from ..policy_file import PolicyInfo, save_policy
from ..reference import with_golden_trace
from ..tasks import find_task
from .checkpoint import load_checkpoint, save_checkpoint
from .log import Log
from .normaliser import Normaliser, input_scale
from .rollout import evaluate, roll_out
from .settings import Settings

CHECKPOINT, LOG, POLICY, CURVE = "checkpoint.npz", "log.jsonl", "policy.onnx", "curve.png"

EPISODES, EVALUATION, FRESH = range(3)  # streams of seeds, so that none is used twice


@dataclass(frozen=True)
class Generation:
    """What one generation showed. Returns are sums of rewards; `evaluation` is the mean return of
    the deterministic policy, None in a generation without one."""

    generation: int
    steps: int
    mean: float
    best: float
    worst: float
    certainty: float
    activity: float
    evaluation: float | None
    seconds: float


class Trainer:
    """A run in a folder: `checkpoint.npz`, `log.jsonl` and, once it is evaluated, `policy.onnx`.

    for generation in Trainer(settings, folder): ...

    After each generation all is on the disk. The best policy by evaluation is kept; a tie goes to
    the later one.
    """

    def __init__(self, settings: Settings, folder: Path, threads: int | None = None):
        self.settings = settings
        self.folder = folder
        self.task = find_task(settings.task)
        self.spec = settings.network(self.task)
        self._gain = input_scale(settings.input_gain, self.task.n_obs)[1]
        self._networks = Batch(self.spec, settings.population, threads)
        training_task = self.task
        if settings.horizon is not None:
            training_task = replace(self.task, max_episode_steps=settings.horizon)
        self._training_task = training_task
        self._search = Evolution(
            self.spec.n_synapses,
            settings.population,
            settings.learning_rate,
            settings.seed,
            settings.rho_bits,
            settings.step,
        )
        self._normaliser = Normaliser(self.task.n_obs)
        self._steps = 0
        self._seconds = 0.0
        self._best: tuple[float, Policy] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._log = Log(folder / LOG)

    @classmethod
    def resume(cls, folder: Path, threads: int | None = None, **changes) -> Trainer:
        """Goes on where the folder's checkpoint ends. `changes` replace settings that do not alter
        what was learned, such as `generations` and `target`."""
        settings, state = load_checkpoint(folder / CHECKPOINT)
        trainer = cls(replace(settings, **changes), folder, threads)
        trainer._restore(state)
        return trainer

    @property
    def generation(self) -> int:
        """Generations that are done."""
        return self._search.generation

    @property
    def best(self) -> tuple[float, Policy] | None:
        """The best evaluation so far and its policy."""
        return self._best

    def policy(self) -> Policy:
        """The deterministic policy as it is now."""
        return self._policy(self._normaliser.freeze(self._gain))

    def fresh_returns(self, episodes: int) -> np.ndarray:
        """Returns (episodes,) of the best policy on seeds that neither training nor selection saw."""
        policy = self._best[1] if self._best else self.policy()
        return evaluate(policy, self.task, self._seeds(FRESH, 0, episodes))

    def __iter__(self) -> Iterator[Generation]:
        if self.generation == 0:
            self._log.rewind(0)
        plants = self._training_task.make(self.settings.population)
        try:
            while self.generation < self.settings.generations and not self._target_reached():
                yield self._run_generation(plants)
        finally:
            plants.close()

    def _target_reached(self) -> bool:
        target = self.settings.target
        return target is not None and self._best is not None and self._best[0] >= target

    def _run_generation(self, plants) -> Generation:
        begun = time.perf_counter()
        number = self.generation
        observation_map = self._normaliser.freeze(self._gain)
        self._search.ask(self._networks)
        rollout = roll_out(
            self._training_task,
            plants,
            self._networks,
            observation_map,
            self._seeds(EPISODES, number, 1)[0],
            self._normaliser,
        )
        self._search.tell(self._networks, rollout.returns)
        self._steps += rollout.steps
        evaluation = self._evaluate(observation_map)
        self._seconds += time.perf_counter() - begun
        generation = Generation(
            generation=number,
            steps=self._steps,
            mean=float(rollout.returns.mean()),
            best=float(rollout.returns.max()),
            worst=float(rollout.returns.min()),
            certainty=self._search.certainty,
            activity=self._networks.activity,
            evaluation=evaluation,
            seconds=self._seconds,
        )
        self._log.append(asdict(generation))
        self._save()
        return generation

    def _evaluate(self, observation_map: ObservationMap) -> float | None:
        done = self.generation
        if done % self.settings.evaluate_every and done != self.settings.generations:
            return None
        policy = self._policy(observation_map)
        # The same episodes every time, so that evaluations compare.
        seeds = self._seeds(EVALUATION, 0, self.settings.evaluation_episodes)
        mean = float(evaluate(policy, self.task, seeds).mean())
        if self._best is None or mean >= self._best[0]:
            self._best = mean, with_golden_trace(policy)
            self._save_policy()
        return mean

    def _policy(self, observation_map: ObservationMap) -> Policy:
        return Policy(self.spec, observation_map, self._search.deterministic())

    def _seeds(self, stream: int, number: int, count: int) -> list[int]:
        words = np.random.SeedSequence((self.settings.seed, stream, number)).generate_state(count)
        return [int(word) >> 1 for word in words]

    def _save_policy(self) -> None:
        mean, policy = self._best
        training = {
            **self.settings.to_dict(),
            "generation": self.generation,
            "steps": self._steps,
            "evaluation": mean,
        }
        info = PolicyInfo(self.task.id, self.task.low, self.task.high, training)
        save_policy(self.folder / POLICY, policy, info)

    def _save(self) -> None:
        state = {
            **self._search.state(),
            **self._normaliser.state(),
            "steps": np.array(self._steps),
            "seconds": np.array(self._seconds),
        }
        if self._best is not None:
            state["best_evaluation"] = np.array(self._best[0])
            state["best_image"] = np.frombuffer(self._best[1].image, np.uint8)
        save_checkpoint(self.folder / CHECKPOINT, self.settings, state)

    def _restore(self, state) -> None:
        self._search.restore(state)
        self._normaliser.restore(state)
        self._steps = int(state["steps"])
        self._seconds = float(state["seconds"])
        if "best_image" in state:
            policy = Policy.from_image(state["best_image"].tobytes())
            self._best = float(state["best_evaluation"]), policy
            self._save_policy()
        self._log.rewind(self.generation)
