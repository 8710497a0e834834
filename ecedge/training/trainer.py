"""Training: generations of evolution on a task, saved after each so that nothing is ever lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import StorageError, UsageError
from ..model import Policy
from ..policy_file import PolicyInfo
from ..storage import lock_file, reason
from ..tasks import find_task
from .checkpoint import load_checkpoint, save_checkpoint
from .learner import Learner
from .log import Log
from .rollout import Population, evaluate
from .settings import Settings

CHECKPOINT, LOG, POLICY, CURVE = "checkpoint.npz", "log.jsonl", "policy.onnx", "curve.png"

LOCK = ".lock"
FILES = CHECKPOINT, LOG, POLICY, CURVE, LOCK

EPISODES, EVALUATION, FRESH = range(3)  # streams of seeds, so that none is used twice


@dataclass(frozen=True)
class Generation:
    """What one generation showed. Returns are sums of rewards; `evaluation` is the mean return of
    the deterministic policy, None in a generation without one; `activity` is spikes a neuron and
    substep. `steps` and `seconds` count from the run's beginning."""

    generation: int
    steps: int
    mean: float
    best: float
    worst: float
    certainty: float
    activity: float
    evaluation: float | None
    seconds: float


@dataclass(frozen=True)
class Best:
    """The best policy so far, and when it was found: generations and plant steps done by then."""

    evaluation: float
    policy: Policy
    generation: int
    steps: int


class Trainer:
    """A run in a folder: `checkpoint.npz`, `log.jsonl` and, once it is evaluated, `policy.onnx`.

    for generation in Trainer(settings, folder): ...

    After each generation all is on the disk. The best policy by evaluation is kept; a tie goes to
    the later one. `state` is a checkpoint's; see `resume`. Raises UsageError if the folder holds a
    run already, or while another process trains in it.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        threads: int | None = None,
        state: dict | None = None,
    ):
        folder = Path(folder)
        if state is None and (folder / CHECKPOINT).exists():
            raise UsageError(
                f"{folder} already holds a run.",
                f"Go on with it: ecedge train --resume {folder}, or choose another folder.",
            )
        self.settings = settings
        self.folder = folder
        self.task = find_task(settings.task)
        if self.task.max_episode_steps is None:
            if settings.horizon is None:
                raise UsageError(
                    f"{self.task.id} has no step limit, so its episodes might never end.",
                    "Give one: --horizon STEPS",
                )
            self.task = replace(self.task, max_episode_steps=settings.horizon)
        self._threads = threads
        training_task = self.task
        if settings.horizon is not None:
            training_task = replace(self.task, max_episode_steps=settings.horizon)
        self._training_task = training_task
        self._learner = Learner(settings, self.task, threads)
        self._kind = self._learner.kind
        self._steps = 0
        self._seconds = 0.0
        self._best: Best | None = None
        self._saved = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"Cannot make the folder {folder}: {reason(error)}.",
                "Choose another one.",
            ) from error
        self._log = Log(folder / LOG)
        if state is not None:
            self._restore(state)

    @classmethod
    def resume(cls, folder: Path, threads: int | None = None, **changes) -> Trainer:
        """Goes on where the folder's checkpoint ends. `changes` replace settings that do not alter
        what was learned, such as `generations` and `target`."""
        settings, state = load_checkpoint(Path(folder) / CHECKPOINT)
        settings = replace(settings, **changes)
        done = int(state["generation"])
        if settings.generations < done:
            raise UsageError(
                f"{folder} has done {done} generations; {settings.generations} are fewer.",
                "Give more, or none.",
            )
        return cls(settings, folder, threads, state)

    @property
    def generation(self) -> int:
        """Generations that are done."""
        return self._learner.generation

    @property
    def steps(self) -> int:
        """Plant steps that training has done."""
        return self._steps

    @property
    def policy_file(self) -> Path:
        """Where the best policy is."""
        return self.folder / self._kind.file

    @property
    def saved(self) -> int:
        """Generations that the checkpoint holds."""
        return self._saved

    @property
    def best(self) -> tuple[float, Policy] | None:
        """The best evaluation so far and its policy."""
        return (self._best.evaluation, self._best.policy) if self._best else None

    def policy(self) -> Policy:
        """The deterministic policy as it is now."""
        return self._learner.policy()

    def fresh_returns(self, episodes: int) -> np.ndarray:
        """Returns (episodes,) of the best policy, on seeds that nothing in the run saw before."""
        policy = self._best.policy if self._best else self.policy()
        return self._returns(policy, self._seeds(FRESH, 0, episodes))

    def __iter__(self) -> Iterator[Generation]:
        with lock_file(self.folder / LOCK):
            yield from self._run()

    def _run(self) -> Iterator[Generation]:
        for leftover in self.folder.glob(".*.part"):  # of a process killed while it wrote
            leftover.unlink(missing_ok=True)
        self._log.rewind(self.generation)
        if self._best is not None:
            self._save_policy()
        if self.generation == 0:
            self._save()  # from here on the run can be resumed
        with Population(self._training_task, self._learner.networks, self._threads) as population:
            while not self._is_done() and not self._target_reached():
                yield self._run_generation(population)
        if self._best is None:  # the run was cut shorter than its first evaluation
            self._evaluate(self.policy())
            self._save()

    def _is_done(self) -> bool:
        settings = self.settings
        spent = settings.steps is not None and self._steps >= settings.steps
        return spent or self.generation >= settings.generations

    def _target_reached(self) -> bool:
        target = self.settings.target
        return target is not None and self._best is not None and self._best.evaluation >= target

    def _run_generation(self, population: Population) -> Generation:
        begun = time.perf_counter()
        number = self.generation
        networks = self._learner.networks
        spikes, substeps = networks.counts
        moments = self._learner.begin()
        rollout = population.roll_out(self._seeds(EPISODES, number, 1)[0], moments)
        self._learner.finish(rollout.returns, moments)
        self._steps += rollout.steps
        spikes, substeps = np.subtract(networks.counts, (spikes, substeps))
        evaluation = None
        if self.generation % self.settings.evaluate_every == 0 or self._is_done():
            evaluation = self._evaluate(self.policy())
        self._seconds += time.perf_counter() - begun
        generation = Generation(
            generation=number,
            steps=self._steps,
            mean=float(rollout.returns.mean()),
            best=float(rollout.returns.max()),
            worst=float(rollout.returns.min()),
            certainty=self._learner.search.certainty,
            activity=float(spikes / max(1, substeps)),
            evaluation=evaluation,
            seconds=self._seconds,
        )
        self._log.append(asdict(generation))
        self._save()
        return generation

    def _evaluate(self, policy: Policy) -> float:
        """The policy's mean return; it is kept if none was better."""
        # The same episodes every time, so that evaluations compare.
        seeds = self._seeds(EVALUATION, 0, self.settings.evaluation_episodes)
        mean = float(self._returns(policy, seeds).mean())
        if self._best is None or mean >= self._best.evaluation:
            self._best = Best(mean, self._kind.prove(policy), self.generation, self._steps)
            self._save_policy()
        return mean

    def _returns(self, policy: Policy, seeds: list[int]) -> np.ndarray:
        networks = self._kind.controllers(policy, len(seeds), self._threads)
        return evaluate(networks, self.task, seeds, self._threads)

    def _seeds(self, stream: int, number: int, count: int) -> list[int]:
        words = np.random.SeedSequence((self.settings.seed, stream, number)).generate_state(count)
        return [int(word) >> 1 for word in words]

    def _save_policy(self) -> None:
        best = self._best
        training = {
            **self.settings.to_dict(),
            "generation": best.generation,
            "steps": best.steps,
            "evaluation": best.evaluation,
        }
        info = PolicyInfo(self.task.id, self.task.low, self.task.high, training)
        self._kind.save(self.policy_file, best.policy, info)

    def _save(self) -> None:
        state = {
            **self._learner.state(),
            "steps": np.array(self._steps),
            "seconds": np.array(self._seconds),
        }
        if self._best is not None:
            state["best_evaluation"] = np.array(self._best.evaluation)
            state["best_image"] = np.frombuffer(self._best.policy.image, np.uint8)
            state["best_generation"] = np.array(self._best.generation)
            state["best_steps"] = np.array(self._best.steps)
        save_checkpoint(self.folder / CHECKPOINT, self.settings, state)
        self._saved = self.generation

    def _restore(self, state) -> None:
        self._learner.restore(state)
        self._steps = int(state["steps"])
        self._seconds = float(state["seconds"])
        if "best_image" in state:
            policy = self._kind.read(state["best_image"].tobytes())
            self._best = Best(
                float(state["best_evaluation"]),
                policy,
                int(state["best_generation"]),
                int(state["best_steps"]),
            )
        self._saved = self.generation
