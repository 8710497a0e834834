"""Training: generations of evolution on a task, saved after each so that nothing is ever lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import StorageError, UsageError
from ..model import Policy
from ..policy_file import PolicyInfo
from ..storage import lock_file, reason
from ..tasks import Task, find_task
from .checkpoint import foreign, load_checkpoint, save_checkpoint
from .events import Events
from .horizon import Horizon
from .learner import Learner
from .lineage import Lesson, Lineage
from .log import Log
from .rollout import Population, activity_of, evaluate
from .settings import Settings

CHECKPOINT, LOG, POLICY, CURVE = "checkpoint.npz", "log.jsonl", "policy.onnx", "curve.png"

LINEAGE, EVENTS, LOCK = "lineage.bin", "events", ".lock"
FILES = CHECKPOINT, LOG, POLICY, CURVE, LINEAGE, LOCK

EPISODES, EVALUATION, FRESH = range(3)  # streams of seeds, so that none is used twice


@dataclass(frozen=True)
class Generation:
    """What one generation showed. Returns are sums of rewards; `evaluation` is the mean return of
    the deterministic policy on the stock task, `varied` on one that varies as the task file says,
    both None in a generation without an evaluation, `varied` also without a variation; `activity`
    is spikes a neuron and substep, `horizon` the most steps of an episode. `steps` and `seconds`
    count from the run's beginning."""

    generation: int
    steps: int
    mean: float
    best: float
    worst: float
    certainty: float
    activity: float
    horizon: int
    evaluation: float | None
    varied: float | None
    seconds: float


@dataclass(frozen=True)
class Best:
    """The best policy so far, its mean return and activity when it was evaluated, and when it was
    found: generations and plant steps done by then."""

    evaluation: float
    activity: float | None
    policy: Policy
    generation: int
    steps: int


class Crew(Protocol):
    """Who else runs the episodes of training, to the same bits: a `cluster.Cluster`, or the devices
    of an `ecedge.fleet.Fleet`."""

    def population(
        self, task: Task, settings: Settings, learner: Learner, lineage: Lineage
    ) -> Population:
        """The learner's networks with a plant each, like a `Population`."""


class Trainer:
    """A run in a folder: `checkpoint.npz`, `log.jsonl`, the same as TensorBoard's `events`, what
    was taught in `lineage.bin` and, once it is evaluated, `policy.onnx`, of rivals `policy.npz`.

    for generation in Trainer(settings, folder): ...

    After each generation all is on the disk. The best policy by evaluation is kept; a tie goes to
    the later one. `state` is a checkpoint's; see `resume`. The episodes of training are run by
    `crew`, or here. Raises UsageError if the folder holds a run already, or
    while another process trains in it.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        threads: int | None = None,
        state: dict | None = None,
        crew: Crew | None = None,
    ):
        folder = Path(folder)
        if state is None and (folder / CHECKPOINT).exists():
            raise UsageError(
                f"{folder} already holds a run.",
                f"Go on with it: ecedge train --resume {folder}, or choose another folder.",
            )
        self.settings = settings
        self.folder = folder
        declared = find_task(settings.task)
        if declared.max_episode_steps is None:
            if settings.horizon is None:
                raise UsageError(
                    f"{declared.id} has no step limit, so its episodes might never end.",
                    "Give one: --horizon STEPS",
                )
            declared = replace(declared, max_episode_steps=settings.horizon)
        self._declared = declared  # what training runs on; judged is on the stock task
        self.task = declared.nominal()
        self._threads = threads
        self._crew = crew
        most = self.task.max_episode_steps
        last = most if settings.horizon is None else min(settings.horizon, most)
        self._horizon = Horizon(settings.first_horizon, last)
        self._learner = Learner(settings, self.task, threads)
        self._kind = self._learner.kind
        self._steps = 0
        self._seconds = 0.0
        self._best: Best | None = None
        self._saved = 0
        self._torn = False  # a generation was begun and not saved
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"Cannot make the folder {folder}: {reason(error)}.",
                "Choose another one.",
            ) from error
        self._log = Log(folder / LOG)
        self._events = Events(folder / EVENTS, folder / LOG)
        self._lineage = Lineage(folder / LINEAGE, settings.population, self.task.n_obs)
        if state is not None:
            try:
                self._restore(state)
            except KeyError as error:
                raise foreign(folder / CHECKPOINT, f"it lacks {error.args[0]}") from error

    @classmethod
    def resume(
        cls, folder: Path, threads: int | None = None, crew: Crew | None = None, **changes
    ) -> Trainer:
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
        return cls(settings, folder, threads, state, crew)

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
        """Returns (episodes,) of the best policy on the stock task, on seeds that nothing in the
        run saw before."""
        policy = self._best.policy if self._best else self.policy()
        return self._try_out(policy, self._seeds(FRESH, 0, episodes), self.task)[0]

    def __iter__(self) -> Iterator[Generation]:
        with lock_file(self.folder / LOCK):
            yield from self._run()

    def _run(self) -> Iterator[Generation]:
        if self._torn:  # by Ctrl-C, say; the run is iterated once more
            self._restore(load_checkpoint(self.folder / CHECKPOINT)[1])
        for leftover in self.folder.glob(".*.part"):  # of a process killed while it wrote
            leftover.unlink(missing_ok=True)
        self._log.rewind(self.generation)
        self._events.rewind(self.generation)
        self._lineage.rewind(self.generation)
        if self._best is not None:
            self._save_policy()
        if self.generation == 0:
            self._save()  # from here on the run can be resumed
        with closing(self._events), self._population() as population:
            while not self._is_done() and not self._target_reached():
                yield self._run_generation(population)
        if self._best is None:  # the run was cut shorter than its first evaluation
            self._evaluate(self.policy())
            self._save()

    def _population(self) -> Population:
        learner = self._learner
        if self._crew is None:
            return Population(self._declared, learner.networks, self._threads)
        return self._crew.population(self._declared, self.settings, learner, self._lineage)

    def _is_done(self) -> bool:
        settings = self.settings
        spent = settings.steps is not None and self._steps >= settings.steps
        return spent or self.generation >= settings.generations

    def _target_reached(self) -> bool:
        target = self.settings.target
        return target is not None and self._best is not None and self._best.evaluation >= target

    def _run_generation(self, population: Population) -> Generation:
        begun = time.perf_counter()
        self._torn = True
        number = self.generation
        spikes, substeps = population.counts
        moments = self._learner.begin()
        horizon = self._horizon.steps
        rollout = population.roll_out(self._seeds(EPISODES, number, 1)[0], moments, horizon)
        fitness = rollout.returns + self._declared.step_reward * rollout.lengths
        self._learner.finish(fitness, moments)
        self._lineage.append(Lesson.of(fitness, moments))
        self._horizon.follow(number, rollout.lengths)
        self._steps += rollout.steps
        spikes, substeps = np.subtract(population.counts, (spikes, substeps))
        evaluation = varied = None
        if self.generation % self.settings.evaluate_every == 0 or self._is_done():
            evaluation, varied = self._evaluate(self.policy())
        self._seconds += time.perf_counter() - begun
        generation = Generation(
            generation=number,
            steps=self._steps,
            mean=float(rollout.returns.mean()),
            best=float(rollout.returns.max()),
            worst=float(rollout.returns.min()),
            certainty=self._learner.search.certainty,
            activity=float(spikes / max(1, substeps)),
            horizon=horizon,
            evaluation=evaluation,
            varied=varied,
            seconds=self._seconds,
        )
        self._log.append(asdict(generation))
        self._events.append(asdict(generation))
        self._save()
        self._torn = False
        return generation

    def _evaluate(self, policy: Policy) -> tuple[float, float | None]:
        """The policy's mean return on the stock task, and on one that varies as declared. It is
        kept if none was better on the stock task."""
        # The same episodes every time, so that evaluations compare.
        seeds = self._seeds(EVALUATION, 0, self.settings.evaluation_episodes)
        returns, activity = self._try_out(policy, seeds, self.task)
        mean = float(returns.mean())
        if self._best is None or mean >= self._best.evaluation:
            proven = self._kind.prove(policy)
            self._best = Best(mean, activity, proven, self.generation, self._steps)
            self._save_policy()
        if not self._declared.variation:
            return mean, None
        return mean, float(self._try_out(policy, seeds, self._declared.varied())[0].mean())

    def _try_out(
        self, policy: Policy, seeds: list[int], task: Task
    ) -> tuple[np.ndarray, float | None]:
        """Returns (episodes,) and activity over an episode for each seed."""
        networks = self._kind.controllers(policy, len(seeds), self._threads)
        return evaluate(networks, task, seeds, self._threads), activity_of(networks)

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
            "activity": best.activity,
        }
        info = PolicyInfo(self.task.id, self.task.low, self.task.high, training)
        self._kind.save(self.policy_file, best.policy, info)

    def _save(self) -> None:
        state = {
            **self._learner.state(),
            "steps": np.array(self._steps),
            "horizon": np.array(self._horizon.steps),
            "seconds": np.array(self._seconds),
        }
        if self._best is not None:
            state["best_evaluation"] = np.array(self._best.evaluation)
            state["best_image"] = np.frombuffer(self._best.policy.image, np.uint8)
            state["best_generation"] = np.array(self._best.generation)
            state["best_steps"] = np.array(self._best.steps)
            if self._best.activity is not None:
                state["best_activity"] = np.array(self._best.activity)
        save_checkpoint(self.folder / CHECKPOINT, self.settings, state)
        self._saved = self.generation

    def _restore(self, state) -> None:
        self._learner.restore(state)
        self._steps = int(state["steps"])
        self._horizon.steps = int(state["horizon"])
        self._seconds = float(state["seconds"])
        self._best = None
        if "best_image" in state:
            policy = self._kind.read(state["best_image"].tobytes())
            self._best = Best(
                float(state["best_evaluation"]),
                float(state["best_activity"]) if "best_activity" in state else None,
                policy,
                int(state["best_generation"]),
                int(state["best_steps"]),
            )
        self._saved = self.generation
