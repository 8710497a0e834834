"""A device that learns on the host's plant, and the folder that holds what it learned.

MEMBER, episode ──> return      of each member, step by step, its twin along
RANKS, LEARN    ──> rho hash    must be the twin's
lineage.bin     <── ranks, hash; on the disk before the next generation begins
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import DeviceRefused, LinkError, LockstepLost, StorageError, UsageError
from ..hil import run_episodes
from ..link import Device, ErrorCode, Evolving
from ..model import Policy
from ..policy_file import PolicyInfo, save_policy
from ..reference import centered_ranks, step_size, with_golden_trace
from ..storage import lock_file, reason, write_atomically
from ..tasks import Task, find_task
from ..training.learner import Learner
from ..training.log import Log, read_log
from ..training.one_bit import OneBitNetworks
from ..training.rollout import Population, evaluate
from ..training.settings import Settings
from .lineage import Lineage, replay
from .lockstep import Lockstep, Origin, check_population

LINEAGE, PLAN, LOG, POLICY, LOCK = "lineage.bin", "plan.json", "log.jsonl", "policy.onnx", ".lock"
DEVICE_RHO, TWIN_RHO = "device.rho", "twin.rho"  # where the first difference is kept
#: refusals that another try does not change
FINAL = ErrorCode.TYPE, ErrorCode.LENGTH, ErrorCode.CAPACITY, ErrorCode.ARGUMENT
MOST_LOSSES = 20  # of the device, without a generation in between
EPISODES, EVALUATION = range(2)  # streams of seeds


@dataclass(frozen=True)
class Plan:
    """What is learned, and how.

    certainty: probability of a synapse that the policy begins with, 0.5 … 0.996; 0.5 begins from
    scratch. horizon: the most steps of an episode; None: the task's own limit. evaluate_every:
    generations between evaluations of the deterministic policy, on the host.
    """

    task: str
    seed: int = 0
    population: int = 32
    learning_rate: float = 0.1
    generations: int = 50
    certainty: float = 0.9
    horizon: int | None = None
    target: float | None = None
    evaluate_every: int = 1
    evaluation_episodes: int = 20

    def __post_init__(self):
        check_population(self.population)
        if self.generations < 1 or self.evaluate_every < 1 or self.evaluation_episodes < 1:
            raise UsageError("Generations, evaluations and their episodes are 1 or more.")
        if not 0.5 <= self.certainty <= 255 / 256:
            raise UsageError(f"The certainty is {self.certainty:g}; it is 0.5 to 0.996.")
        if self.horizon is not None and self.horizon < 1:
            raise UsageError(f"The horizon is {self.horizon} steps; it is at least 1.")

    def origin(self, policy: Policy) -> Origin:
        step = step_size(self.learning_rate, self.population)
        return Origin(policy, self.seed, step, self.population, round(256 * self.certainty))


@dataclass(frozen=True)
class Generation:
    """What a generation showed: returns of its members, the deterministic policy's mean return
    where it was evaluated, the hash of what was learned. losses: times that the device was lost."""

    generation: int
    mean: float
    best: float
    worst: float
    steps: int
    evaluation: float | None
    rho_hash: str
    losses: int
    seconds: float


class Run:
    """Evolution on a device, in a folder: iterate to run it.

        Run.begin(folder, plan, policy)           a new one
        Run.resume(folder)                        goes on after the last generation of its lineage
        for generation in run.on(opener): ...     opener() opens the device, again after it was lost

    Raises LockstepLost, with both probabilities kept in the folder, when device and twin differ,
    and the last LinkError when the device was lost too often.
    """

    def __init__(self, folder: Path, plan: Plan, lineage: Lineage, twin: Lockstep):
        self.folder = folder
        self.plan = plan
        self.twin = twin
        self._lineage = lineage
        self._log = Log(folder / LOG)
        self._best = -np.inf

    @classmethod
    def begin(cls, folder: Path, plan: Plan, policy: Policy) -> Run:
        folder = Path(folder)
        if (folder / LINEAGE).exists():
            raise UsageError(
                f"{folder} already holds a run.", "Go on with it: --resume, or choose another."
            )
        task_of(plan, policy)
        origin = plan.origin(policy)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot make the folder {folder}: {reason(error)}.") from error
        write_atomically(folder / PLAN, json.dumps(asdict(plan), indent=2).encode())
        return cls(folder, plan, Lineage.create(folder / LINEAGE, origin), Lockstep(origin))

    @classmethod
    def resume(cls, folder: Path, **changes) -> Run:
        """`changes` replace what does not alter what was learned: generations, target."""
        folder = Path(folder)
        lineage = Lineage.open(folder / LINEAGE)
        try:
            plan = Plan(**json.loads((folder / PLAN).read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(f"{folder / PLAN} cannot be read: {error}.") from error
        run = cls(folder, replace(plan, **changes), lineage, replay(lineage))
        logged = read_log(folder / LOG)[: run.twin.generation]
        run._best = max([entry["evaluation"] or -np.inf for entry in logged], default=-np.inf)
        return run

    @property
    def policy_file(self) -> Path:
        return self.folder / POLICY

    @property
    def best(self) -> float:
        """The best evaluation so far."""
        return self._best

    def on(self, opener: Callable[[], AbstractContextManager[Device]]) -> Iterator[Generation]:
        plan, twin = self.plan, self.twin
        task = task_of(plan, twin.origin.policy)
        with lock_file(self.folder / LOCK), ExitStack() as stack:
            self._lineage.cut(twin.generation)
            self._log.rewind(twin.generation)
            seat = stack.enter_context(Seat(opener, twin))
            while twin.generation < plan.generations and not self._target_reached():
                yield self._run_generation(seat, task)

    def _target_reached(self) -> bool:
        return self.plan.target is not None and self._best >= self.plan.target

    def _run_generation(self, seat: Seat, task: Task) -> Generation:
        begun = time.perf_counter()
        plan, twin = self.plan, self.twin
        number = twin.generation
        (seed,) = seeds_of(plan.seed, EPISODES, number, 1)
        runs = [seat.run(member, task, seed) for member in range(plan.population)]
        returns = np.array([episode.total for episode in runs])
        ranks = centered_ranks(returns)
        twin.learn(ranks)
        try:
            seat.learn(ranks)
        except LockstepLost:
            write_atomically(self.folder / TWIN_RHO, twin.planes)
            write_atomically(self.folder / DEVICE_RHO, seat.rho())
            raise
        self._lineage.append(ranks, twin.rho_hash)
        generation = Generation(
            number,
            float(returns.mean()),
            float(returns.max()),
            float(returns.min()),
            sum(len(episode.steps) for episode in runs),
            self._evaluate(task) if twin.generation % plan.evaluate_every == 0 else None,
            f"{twin.rho_hash:08x}",
            seat.take_losses(),
            time.perf_counter() - begun,
        )
        self._log.append(asdict(generation))
        return generation

    def _evaluate(self, task: Task) -> float:
        """The deterministic policy's mean return; it is kept if none was better."""
        plan, policy = self.plan, self.twin.decided()
        seeds = seeds_of(plan.seed, EVALUATION, 0, plan.evaluation_episodes)
        mean = float(evaluate(OneBitNetworks.of(policy, task, len(seeds)), task, seeds).mean())
        if mean >= self._best:
            self._best = mean
            learned = {**asdict(plan), "generation": self.twin.generation, "evaluation": mean}
            info = PolicyInfo(task.id, task.low, task.high, learned)
            save_policy(self.policy_file, policy, info)
        return mean


class Seat:
    """The device, opened again and brought to where its twin is whenever it was lost."""

    def __init__(self, opener: Callable[[], AbstractContextManager[Device]], twin: Lockstep):
        self._opener = opener
        self._twin = twin
        self._opened = ExitStack()
        self._evolving: Evolving | None = None
        self._losses = self._told = self._in_a_row = 0

    def __enter__(self) -> Seat:
        self._open()
        return self

    def __exit__(self, *_) -> None:
        self._opened.close()

    def run(self, member: int, task: Task, seed: int):
        """An episode of a member of this generation."""
        policy = self._twin.member(member)

        def once(evolving: Evolving):
            evolving.draw(member)
            (episode,) = run_episodes(evolving.device, policy, task, 1, seed)
            if episode.differing_bits:
                raise LockstepLost(
                    f"Member {member} of generation {self._twin.generation} differs from its twin "
                    f"by {episode.differing_bits} bits.",
                    "Look at the device's clock, supply and memory.",
                )
            return episode

        return self._insist(once)

    def learn(self, ranks) -> None:
        """The device learns what its twin has learned just now."""
        wanted = self._twin.generation

        def once(evolving: Evolving):
            if evolving.generation < wanted:  # else it was lost, and brought here since
                evolving.learn(ranks)
            if evolving.rho_hash != self._twin.rho_hash:
                raise LockstepLost(
                    f"After generation {wanted - 1} the device's probabilities are "
                    f"{evolving.rho_hash:08x}, its twin's {self._twin.rho_hash:08x}.",
                    f"Both are kept: {DEVICE_RHO} and {TWIN_RHO} in the run's folder.",
                )

        self._insist(once)
        self._in_a_row = 0

    def rho(self) -> bytes:
        return self._insist(Evolving.rho)

    def take_losses(self) -> int:
        """Times that the device was lost since this was asked last."""
        losses, self._told = self._losses - self._told, self._losses
        return losses

    def _insist(self, work):
        """`work` of the device, again from its beginning where the device was lost in it."""
        while True:
            try:
                if self._evolving is None:
                    self._open()
                return work(self._evolving)
            except LinkError as error:
                if isinstance(error, DeviceRefused) and error.code in FINAL:
                    raise
                self._lose(error)

    def _lose(self, error: LinkError) -> None:
        self._losses += 1
        self._in_a_row += 1
        self._evolving = None
        self._opened.close()
        if self._in_a_row >= MOST_LOSSES:
            raise error

    def _open(self) -> None:
        twin = self._twin
        origin = twin.origin
        device = self._opened.enter_context(self._opener())
        device.upload(origin.policy)
        evolving = Evolving(
            device, origin.policy, origin.seed, origin.step, origin.population, twin.generation,
            origin.one,
        )  # fmt: skip
        if evolving.rho_hash != twin.rho_hash:
            evolving.put_rho(twin.planes)
        self._evolving = evolving


def policy_from_scratch(settings: Settings) -> Policy:
    """A network for a task that knows nothing yet, but for the scale of its inputs: what random
    members of a generation see. Begin with a certainty of 0.5."""
    learner = Learner(settings, find_task(settings.task))
    moments = learner.begin()
    with Population(learner.kind.task, learner.networks) as population:
        rollout = population.roll_out(settings.seed, moments, settings.horizon)
    learner.finish(rollout.returns, moments)
    learner.begin()
    return with_golden_trace(learner.policy())


def task_of(plan: Plan, policy: Policy) -> Task:
    """The plan's task, which the policy must fit."""
    task = find_task(plan.task)
    most = plan.horizon or task.max_episode_steps
    if most is None:
        raise UsageError(f"{task.id} has no step limit.", "Give one: --horizon STEPS")
    spec = policy.spec
    if (task.n_obs, task.n_act, task.actions) != (spec.n_obs, spec.n_act, spec.actions):
        raise UsageError(f"The policy does not fit {task.id}.")
    return replace(task, max_episode_steps=min(most, task.max_episode_steps or most))


def seeds_of(seed: int, stream: int, number: int, count: int) -> list[int]:
    words = np.random.SeedSequence((seed, stream, number)).generate_state(count)
    return [int(word) >> 1 for word in words]
