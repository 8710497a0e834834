"""Devices that learn on the host's plant, and the folder that holds what they learned.

MEMBER, episode ──> return      of each member, step by step, its twin along: whoever is free
lineage.bin     <── ranks, hash; on the disk before the next generation begins
RANKS, LEARN    ──> rho hash    of each device, before its next member; must be the twin's
policy.onnx     <── the confirmed policy: what devices are left with, whatever ends the run
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from ..errors import ClusterError, StorageError, UsageError
from ..fleet import Fleet, FleetPopulation, Opener
from ..link import Limit, check_limits
from ..model import Policy
from ..policy_file import PolicyInfo, load_policy, save_policy
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
from .safety import Budget, BudgetSpent, Spent, Watch
from .seat import Drawn

LINEAGE, PLAN, LOG, POLICY, LOCK = "lineage.bin", "plan.json", "log.jsonl", "policy.onnx", ".lock"
SPENT = "spent.json"
DEVICE_RHO, TWIN_RHO = ".rho", ".twin.rho"  # behind a device's name: its first difference
EPISODES, EVALUATION = range(2)  # streams of seeds


@dataclass(frozen=True)
class Plan:
    """What is learned, and how.

    certainty: probability of a synapse that the policy begins with, 0.5 … 0.996; 0.5 begins from
    scratch. horizon: the most steps of an episode; None: the task's own limit. evaluate_every:
    generations between evaluations of the deterministic policy, on the host. period_ms: from step
    to step, where the device practises on its own plant; None: in step with the host. alone:
    generations that it may then go on for without its host. save_every: generations after which it
    saves what it learned in its flash; 0: never. fall, patience: see `Watch`. limits: (low, high,
    slew) of each output, which devices keep to; or none. most_…: `Budget`.
    """

    task: str
    seed: int = 0
    population: int = 32
    learning_rate: float = 0.3
    generations: int = 50
    certainty: float = 0.9
    horizon: int | None = None
    target: float | None = None
    evaluate_every: int = 1
    evaluation_episodes: int = 20
    period_ms: float | None = None
    alone: int = 0
    save_every: int = 0
    fall: float | None = None
    patience: int = 5
    limits: tuple[tuple[int, int, int], ...] = ()
    most_episodes: int | None = None
    most_steps: int | None = None
    most_seconds: float | None = None
    most_travel: float | None = None

    def __post_init__(self):
        # Of a plan.json they are lists.
        object.__setattr__(self, "limits", tuple(tuple(numbers) for numbers in self.limits))
        _ = self.output_limits, self.budget, self.watch()  # which refuse what is impossible
        check_population(self.population)
        if self.generations < 1 or self.evaluate_every < 1 or self.evaluation_episodes < 1:
            raise UsageError("Generations, evaluations and their episodes are 1 or more.")
        if not 0.5 <= self.certainty <= 255 / 256:
            raise UsageError(f"The certainty is {self.certainty:g}; it is 0.5 to 0.996.")
        if self.horizon is not None and self.horizon < 1:
            raise UsageError(f"The horizon is {self.horizon} steps; it is at least 1.")
        own = self.alone, self.save_every
        if min(own) < 0 or (any(own) and self.period_ms is None):
            raise UsageError(
                "A device goes on alone, and saves, after 0 or more generations of its own clock."
            )
        if self.period_ms is not None and self.most_travel is not None:
            raise UsageError("A device counts no travel by its own clock; leave out that budget.")

    @property
    def output_limits(self) -> list[Limit]:
        return [Limit(*numbers) for numbers in self.limits]

    @property
    def budget(self) -> Budget:
        return Budget(**{f.name: getattr(self, f"most_{f.name}") for f in fields(Budget)})

    def watch(self) -> Watch:
        return Watch(self.fall, self.patience)

    def check_simulated(self, threads: int) -> None:
        """Raises UsageError for what threads that simulate members cannot keep to."""
        if threads and self.budget != Budget():
            raise UsageError(
                "Devices spend budgets; threads that simulate members spend none.",
                "Leave out --simulated, or --budget-….",
            )

    def origin(self, policy: Policy) -> Origin:
        step = step_size(self.learning_rate, self.population)
        return Origin(policy, self.seed, step, self.population, round(256 * self.certainty))


@dataclass(frozen=True)
class Generation:
    """What a generation showed: returns of its members, the deterministic policy's mean return
    where it was evaluated, the hash of what was learned. losses: times that devices were lost.
    back_to: the generations after which the probabilities were what they are again, after a
    collapse."""

    generation: int
    mean: float
    best: float
    worst: float
    steps: int
    evaluation: float | None
    rho_hash: str
    losses: int
    seconds: float
    back_to: int | None = None


class Run:
    """Evolution on devices, in a folder: iterate to run it.

        Run.begin(folder, plan, policy)           a new one
        Run.resume(folder)                        goes on after the last generation of its lineage
        for generation in run.by(fleet): ...      on many devices and threads, or
        for generation in run.on(opener): ...     on one; opener() opens it, again after it was lost

    Whoever runs which member, and is lost or not, the lineage is the same. A device that differs
    from its twin gets no more members, and both probabilities are kept in the folder.
    Whatever ends it, devices that are still there are left with the confirmed policy, the best by
    evaluation, at their safe action; `ending` says why a run that is over ended. Close the iterator
    that is given up. settled: names of the devices that had learned all when the run ended.
    """

    def __init__(self, folder: Path, plan: Plan, lineage: Lineage, twin: Lockstep):
        self.folder = folder
        self.plan = plan
        self.twin = twin
        self._lineage = lineage
        self.settled: list[str] = []
        self.spent = Spent.load(folder / SPENT)
        self.ending = ""
        self._log = Log(folder / LOG)
        self._watch = plan.watch()
        self._best = -np.inf
        self._confirmed: tuple[Policy, int] | None = None  # and after how many generations
        self._gone_back = False  # since a policy was confirmed
        self._turn = threading.Lock()

    @classmethod
    def begin(cls, folder: Path, plan: Plan, policy: Policy) -> Run:
        folder = Path(folder)
        if (folder / LINEAGE).exists():
            raise UsageError(
                f"{folder} already holds a run.", "Go on with it: --resume, or choose another."
            )
        origin = plan.origin(policy)
        networks = networks_of(plan, policy)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot make the folder {folder}: {reason(error)}.") from error
        write_atomically(folder / PLAN, json.dumps(asdict(plan), indent=2).encode())
        lineage = Lineage.create(folder / LINEAGE, origin)
        return cls(folder, plan, lineage, Lockstep(origin, networks=networks))

    @classmethod
    def resume(cls, folder: Path, **changes) -> Run:
        """`changes` replace what does not alter what was learned: generations, target, budgets."""
        folder = Path(folder)
        lineage = Lineage.open(folder / LINEAGE)
        plan = read_plan(folder)
        twin = replay(lineage, networks=networks_of(plan, lineage.origin.policy))
        run = cls(folder, replace(plan, **changes), lineage, twin)
        run._remember()
        return run

    @property
    def policy_file(self) -> Path:
        return self.folder / POLICY

    @property
    def best(self) -> float:
        """The best evaluation so far: the confirmed policy's."""
        return self._best

    @property
    def confirmed(self) -> Policy:
        return self._confirmed[0]

    def by(self, fleet: Fleet) -> Iterator[Generation]:
        """Raises ClusterError when no device of the fleet is left; if there was but one, what was
        the matter with it, LockstepLost say."""
        self.plan.check_simulated(fleet.simulated)
        task = task_of(self.plan, self.twin.origin.policy)
        with self.opened(), FleetPopulation(fleet, task, Drawn(self)) as population:
            try:
                with suppress(BudgetSpent):
                    while not self.is_over():
                        yield self._run_generation(population, task)
                self.settled = population.settle()
            except ClusterError as error:
                if len(fleet.devices) == 1 and error.__cause__:
                    raise error.__cause__ from None
                raise

    def on(self, opener: Opener) -> Iterator[Generation]:
        return self.by(Fleet({"device": opener}))

    def keep_difference(self, name: str, device_rho: bytes, twin_rho: bytes) -> None:
        """Of a device that learned something else than its twin."""
        write_atomically(self.folder / f"{name}{TWIN_RHO}", twin_rho)
        write_atomically(self.folder / f"{name}{DEVICE_RHO}", device_rho)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The folder for this program alone, as it was after the last whole generation."""
        with lock_file(self.folder / LOCK):
            if sum(1 for _ in self._lineage) > self.twin.generation:
                raise UsageError(
                    f"Another program went on with {self.folder} meanwhile.",
                    "Resume it again, from where it is now.",
                )
            self._lineage.cut(self.twin.generation)
            self._log.rewind(self.twin.generation)
            self._evaluate_what_was_missed()
            try:
                yield
            finally:
                self.spent.save(self.folder / SPENT)

    def is_over(self) -> bool:
        """Whether the run has come to its end, by its plan or after a second collapse."""
        plan = self.plan
        if plan.target is not None and self._best >= plan.target:
            self.ending = f"the target of {plan.target:g} is reached"
        elif self.twin.generation >= plan.generations:
            self.ending = f"all {plan.generations} generations are done"
        else:
            self.ending = self.ending or plan.budget.end(self.spent) or ""
        return bool(self.ending)

    def check_budget(self) -> None:
        """Raises BudgetSpent where no episode may begin any more: the generation is given up."""
        if ending := self.plan.budget.end(self.spent):
            self.ending = ending
            raise BudgetSpent

    def spend(self, spent: Spent) -> None:
        """Counts what episodes have cost."""
        with self._turn:
            self.spent += spent

    def _run_generation(self, population: FleetPopulation, task: Task) -> Generation:
        begun = time.perf_counter()
        plan, twin = self.plan, self.twin
        losses = population.losses
        (seed,) = seeds_of(plan.seed, EPISODES, twin.generation, 1)
        rollout = population.roll_out(seed)
        lost = population.losses - losses
        return self.close_generation(task, rollout.returns, rollout.steps, lost, begun)

    def close_generation(
        self, task: Task, returns: np.ndarray, steps: int, losses: int, begun: float
    ) -> Generation:
        """Has the twin learn from what members earned, or go back; keeps it, and tells it. begun:
        by `time.perf_counter`."""
        twin, plan = self.twin, self.plan
        policy, evaluation, back_to = None, None, None
        ranks = centered_ranks(returns)
        rho = twin.taught(ranks)
        if (twin.generation + 1) % plan.evaluate_every == 0:
            policy, evaluation = self._evaluate(task, rho)
            if self._watch.collapsed(evaluation, self._best):
                ranks, back_to = None, self._go_back()
        if ranks is not None:
            twin.learn(ranks, rho)
        self._lineage.append(ranks, twin.rho_hash)
        if policy and evaluation >= self._best:
            self._confirm(policy, evaluation)
        generation = Generation(
            twin.generation - 1,
            float(returns.mean()),
            float(returns.max()),
            float(returns.min()),
            steps,
            evaluation,
            f"{twin.rho_hash:08x}",
            losses,
            time.perf_counter() - begun,
            back_to,
        )
        self._log.append(asdict(generation))
        self.spent.save(self.folder / SPENT)
        return generation

    def _evaluate(self, task: Task, rho: np.ndarray) -> tuple[Policy, float]:
        """The deterministic policy of these probabilities, and its mean return."""
        plan, policy = self.plan, self.twin.decided(rho)
        seeds = seeds_of(plan.seed, EVALUATION, 0, plan.evaluation_episodes)
        networks = OneBitNetworks.of(policy, task, len(seeds))
        keep_to_limits(networks, plan.limits)
        return policy, float(evaluate(networks, task, seeds).mean())

    def _evaluate_what_was_missed(self) -> None:
        """The policy of a run that begins, or of a last generation that was learned but not logged
        before its host was killed."""
        logged = [entry["generation"] for entry in read_log(self.folder / LOG)[-1:]]
        if self._confirmed and logged == [self.twin.generation - 1]:
            return
        task = task_of(self.plan, self.twin.origin.policy)
        policy, evaluation = self._evaluate(task, self.twin.rho)
        if self._confirmed is None or evaluation >= self._best:
            self._confirm(policy, evaluation)

    def _confirm(self, policy: Policy, evaluation: float) -> None:
        task, generation = find_task(self.plan.task), self.twin.generation
        learned = {**asdict(self.plan), "generation": generation, "evaluation": evaluation}
        save_policy(self.policy_file, policy, PolicyInfo(task.id, task.low, task.high, learned))
        self._best, self._confirmed, self._gone_back = evaluation, (policy, generation), False

    def _go_back(self) -> int:
        """The twin, and so every device, goes on from where the confirmed policy was learned; the
        second time without a better one since, the run is over."""
        _, generation = self._confirmed
        if self._gone_back:
            self.ending = "it collapsed again, with nothing better learned in between"
        self._gone_back = True
        self.twin.go_back(generation)
        return generation

    def _remember(self) -> None:
        """What the folder tells of a run that goes on."""
        if not self.policy_file.exists():
            return
        policy, info = load_policy(self.policy_file)
        try:
            generation, evaluation = (info.training[key] for key in ("generation", "evaluation"))
        except (KeyError, TypeError) as error:
            raise StorageError(
                f"{self.policy_file} is no policy of this run.", "Put it elsewhere, and resume."
            ) from error
        if generation > self.twin.generation:  # the lineage was cut behind its back
            return
        self._best, self._confirmed = evaluation, (policy, generation)
        for entry in read_log(self.folder / LOG):
            if not generation <= entry["generation"] < self.twin.generation:
                continue
            if entry["evaluation"] is not None:
                self._watch.collapsed(entry["evaluation"], self._best)
            self._gone_back |= entry.get("back_to") is not None


def read_plan(folder: Path) -> Plan:
    """The plan of the run in a folder."""
    try:
        return Plan(**json.loads((folder / PLAN).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"{folder / PLAN} cannot be read: {error}.") from error


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
    """The plan's task, which the policy must fit: its plant as it varies, and nothing that is for
    training alone."""
    task = find_task(plan.task).varied()
    most = plan.horizon or task.max_episode_steps
    if most is None:
        raise UsageError(f"{task.id} has no step limit.", "Give one: --horizon STEPS")
    spec = policy.spec
    if (task.n_obs, task.n_act, task.actions) != (spec.n_obs, spec.n_act, spec.actions):
        raise UsageError(f"The policy does not fit {task.id}.")
    return replace(task, max_episode_steps=min(most, task.max_episode_steps or most))


def networks_of(plan: Plan, policy: Policy) -> OneBitNetworks:
    """A generation's members, before they are drawn, that keep to the plan's limits."""
    networks = OneBitNetworks(policy.spec, task_of(plan, policy), plan.population)
    keep_to_limits(networks, plan.limits)
    return networks


def keep_to_limits(networks: OneBitNetworks, limits: Sequence[tuple[int, int, int]]) -> None:
    """Has networks keep their outputs to a plan's limits, as devices do."""
    check_limits(limits, networks.spec.n_act)
    if limits:
        networks.set_limits(limits)


def seeds_of(seed: int, stream: int, number: int, count: int) -> list[int]:
    words = np.random.SeedSequence((seed, stream, number)).generate_state(count)
    return [int(word) >> 1 for word in words]
