"""Episodes on many machines: workers under Ray that learn along.

    driver ── lessons missed, fingerprint, seed, horizon, which members ──> worker
    driver <── returns, lengths, moments of those members ───────────────── worker

Every worker has a `Learner` of its own. Which networks it runs follows from the settings and from
the lessons of earlier generations, so weights never travel. docs/CLUSTER.md says more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise

import numpy as np

from ..errors import ClusterError, EcedgeError, ToolError, TrainingError, UsageError
from ..tasks import Task, find_task
from ..version import VERSION
from .learner import Learner
from .lineage import Lesson, Lineage, fingerprint
from .normaliser import Moments
from .rollout import Part, Population, Rollout
from .settings import Settings

HERE = "auto"  # the Ray that runs on this machine
SHARES = 4  # of a worker in a generation: enough for the quick to relieve the slow
SLICE = 256  # lessons in a message
MOST_TRIES = 5  # workers that may be lost with the same members
POLL = 1.0  # s between looks at the cluster
LONGEST_ABSENCE = 40.0  # s for the head of a cluster to come back
CONNECT = 5.0  # s for a machine to take a connection
START = 60.0  # s for a worker's process to begin and to import, beside its first answer
REST, LONGEST_REST = 1.0, 60.0  # s before a node that lost a worker gets another one

log = logging.getLogger(__name__)


# --- what travels ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """Episodes of members `first` ... `end - 1`; `proof` is the fingerprint of a learner that may
    run them. seeds: of all of them, or (M,) one for each."""

    generation: int
    proof: bytes
    seeds: int | np.ndarray
    horizon: int | None
    first: int
    end: int


@dataclass(frozen=True)
class Result:
    """What an order's members did, as `Rollout`, `Moments` and `Networks.counts` hold it."""

    returns: np.ndarray
    lengths: np.ndarray
    seen: tuple[np.ndarray, np.ndarray, np.ndarray]
    counts: np.ndarray


class Unfit(Exception):
    """This worker cannot take part; others may."""


# --- a worker -------------------------------------------------------------------------------


class Worker:
    """What runs in a Ray actor: a learner, and plants for some members on one thread."""

    def __init__(self, settings: Settings, task: str, limit: int, versions: dict[str, str]):
        self._settings = settings
        self._task_name = task
        self._limit = limit
        self._versions = versions
        self._learner: Learner | None = None
        self._begun = False
        self._parts: dict[int, tuple[Part, Population]] = {}

    def work(self, lessons: list[bytes], order: Order | None) -> Result | int:
        """Learns the next lessons, then follows the order; without one, says at which generation
        it is. Raises Unfit, and whatever the task raises."""
        if self._learner is None:
            self._prepare()
        learner = self._learner
        for data in lessons:
            lesson = Lesson.from_bytes(data, self._settings.population)
            self._begin()
            learner.finish(lesson.fitness, lesson.moments(learner.normaliser.mean))
            self._begun = False
        if order is None:
            return learner.generation
        if learner.generation != order.generation or fingerprint(learner.state()) != order.proof:
            raise Unfit("it learned something else from the same lessons")
        self._begin()
        return self._run(order)

    def _prepare(self) -> None:
        try:
            task = find_task(self._task_name)
            ours = versions(task)
            for name, theirs in self._versions.items():
                if ours.get(name) != theirs:
                    raise Unfit(f"it has {name} {ours.get(name)}, not {theirs}")
            self._task = replace(task, max_episode_steps=self._limit)
            self._learner = Learner(self._settings, self._task, 1)
        except EcedgeError as error:
            raise Unfit(str(error)) from error

    def _begin(self) -> None:
        if not self._begun:
            self._learner.begin()
            self._begun = True

    def _run(self, order: Order) -> Result:
        networks = self._learner.networks
        size = order.end - order.first
        if size not in self._parts:
            part = Part(networks, size)
            self._parts[size] = part, Population(self._task, part, 1)
        part, population = self._parts[size]
        part.first = order.first
        moments = Moments(size, self._learner.normaliser.mean)
        before = networks.counts
        networks.reset()
        rollout = population.roll_out(order.seeds, moments, order.horizon)
        return Result(
            rollout.returns,
            rollout.lengths,
            (moments.count, moments.first, moments.second),
            np.subtract(networks.counts, before),
        )


def versions(task: Task) -> dict[str, str]:
    """What an episode's bits depend on."""
    found = {"ecedge": VERSION}
    for name in ("numpy",) if task.native else ("numpy", "gymnasium", "mujoco"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


# --- the driver -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster to run episodes on: HOST:PORT of its head, or `HERE`.

    A worker that does not answer for `patience` seconds is given up, later if it has only begun or
    if episodes turn out to be long; a run whose workers are all gone waits `grace` seconds for
    others. Raises ToolError where Ray is not installed.
    """

    address: str = HERE
    patience: float = 120.0
    grace: float = 30.0

    def __post_init__(self):
        load_ray()

    def connect(self) -> bool:
        """Joins the cluster as a driver, until `ray.shutdown`; False if this process had joined one
        before. UsageError: no cluster is there."""
        if load_ray().is_initialized():
            return False
        connect(self.address)
        return True

    def check(self, settings: Settings) -> None:
        """Any run will do."""

    def population(
        self, task: Task, settings: Settings, learner: Learner, lineage: Lineage
    ) -> ClusterPopulation:
        return ClusterPopulation(self, task, settings, learner, lineage)


@dataclass(eq=False)
class Post:
    """The driver's side of one worker. `call` is what it is at, begun at `since`, and `until` when
    it is given up; `knows` counts the lessons it has learned."""

    actor: object
    node: str
    host: str
    ready: bool = False
    knows: int = 0
    call: object = None
    order: Order | None = None
    since: float = 0.0
    until: float = 0.0


@dataclass
class Team:
    """Who is there, and which nodes get no worker: for good, or until a time."""

    posts: list[Post] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    rests: dict[str, tuple[float, float]] = field(default_factory=dict)
    reason: str = "no node offered a CPU"


class ClusterPopulation:
    """`rollout.Population` with its members' episodes on a cluster, to the same bits.

    A worker for every core that Ray offers, each on one thread. The members go out in parts, a part
    to whoever is idle; a part that is lost with its worker goes to another one.
    """

    def __init__(
        self, cluster: Cluster, task: Task, settings: Settings, learner: Learner, lineage: Lineage
    ):
        if not lineage.whole:
            raise UsageError(
                f"{lineage.path.parent} does not hold all that its generations taught, and workers "
                "learn from that.",
                "Resume it without --cluster.",
            )
        self._cluster = cluster
        self._task = task
        self._settings = settings
        self._learner = learner
        self._lineage = lineage
        self._counts = np.zeros(2, np.int64)
        self._team = Team()
        self._looked = self._slowest = 0.0
        self._ray = load_ray()
        self._owned = False

    def __enter__(self) -> ClusterPopulation:
        self._owned = self._cluster.connect()
        self._connection = self._connected()
        self._answered = self._head_seen = time.monotonic()
        return self

    def __exit__(self, *error) -> None:
        """A run may be left long after its process has left the cluster, or joined another."""
        if self._connected() == self._connection:
            for post in self._team.posts:
                self._kill(post)
            if self._owned:
                self._ray.shutdown()
        self._team.posts.clear()

    def _connected(self) -> tuple[str, str, str] | None:
        """Which connection to which cluster this process has: a head that began anew counts jobs
        from 1 again. Without one, most of Ray's functions would start a cluster of their own."""
        if not self._ray.is_initialized():
            return None
        context = self._ray.get_runtime_context()
        return context.gcs_address, context.get_node_id(), context.get_job_id()

    @property
    def counts(self) -> tuple[int, int]:
        """(spikes, substeps of neurons) of all steps so far."""
        return int(self._counts[0]), int(self._counts[1])

    def roll_out(self, seed, moments: Moments | None = None, horizon: int | None = None) -> Rollout:
        """As `rollout.Population.roll_out`. Raises ClusterError when no worker is left."""
        if self._connected() != self._connection:
            raise self._at_an_end("This process is no longer connected to the run's cluster.")
        population = self._settings.population
        rollout = Rollout(np.zeros(population), np.zeros(population, np.int64))
        proof = fingerprint(self._learner.state())
        self._answered = time.monotonic()
        self._recruit()
        parts = deque(self._parts(population))
        left, tries = population, Counter()
        while left:
            for post in self._team.posts:
                if post.call is None:
                    self._give(post, parts, seed, horizon, proof, tries)
            for post in self._answers():
                order, result = post.order, self._receive(post)
                if order is None:
                    continue
                part = order.first, order.end
                if result is None:
                    unfit = post.node in self._team.refused
                    self._retry(part, parts, tries, counts=not unfit)
                    continue
                self._note(part, result, rollout, moments)
                left -= order.end - order.first
            for post in self._late():
                seconds = time.monotonic() - post.since
                self._drop(post, f"it did not answer for {seconds:.0f} s")
                if post.order is not None:
                    self._retry((post.order.first, post.order.end), parts, tries)
            self._recruit()
            self._see_that_someone_is_there()
        return rollout

    # --- work ---

    def _parts(self, population: int) -> list[tuple[int, int]]:
        count = min(population, SHARES * max(1, len(self._team.posts)))
        ends = [population * k // count for k in range(count + 1)]
        return list(pairwise(ends))

    def _give(self, post: Post, parts: deque, seed, horizon, proof: bytes, tries: Counter) -> None:
        generation = self._learner.generation
        end = min(generation, post.knows + SLICE)
        order, patience = None, self._patience(post.ready)
        if post.ready and end == generation and parts:
            first, last = part = parts.popleft()
            seeds = seed if np.ndim(seed) == 0 else np.asarray(seed)[first:last]
            order = Order(generation, proof, seeds, horizon, first, last)
            patience *= 2 ** tries[part]
        elif post.ready and post.knows == end:
            return  # it knows all, and there is nothing to run
        lessons = self._lineage.read(post.knows, end) if post.ready and post.knows < end else []
        post.order = order
        post.since = time.monotonic()
        post.until = post.since + patience
        post.call = post.actor.work.remote(lessons, order)

    def _answers(self) -> list[Post]:
        """Those who have ended what they were at."""
        calls = {post.call: post for post in self._team.posts if post.call is not None}
        if not calls:
            time.sleep(POLL / 5)
            return []
        done, _ = self._ray.wait(list(calls), num_returns=1, timeout=POLL)
        return [calls[call] for call in done]

    def _receive(self, post: Post) -> Result | None:
        """The result of an order; None where there is none, or none came."""
        errors = self._ray.exceptions
        call, post.call = post.call, None
        try:
            result = self._ray.get(call)
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, Unfit) or post.order is None:
                self._drop(post, f"{cause or error}")
                self._team.refused[post.node] = f"{cause or error}"
                return None
            if isinstance(cause, EcedgeError):
                raise cause from None
            raise TrainingError(
                f"{self._task.id} failed on {post.host}: {type(cause).__name__}: {cause}.",
                "The checkpoint of the last generation is safe; repair the task, then resume.",
            ) from error
        except errors.RayError as error:
            self._drop(post, gist(error))
            return None
        self._answered = time.monotonic()
        self._team.rests.pop(post.node, None)
        if isinstance(result, Result):
            self._slowest = max(self._slowest, self._answered - post.since)
            post.knows = post.order.generation
            post.order = None
            return result
        post.ready, post.knows = True, result
        return None

    def _note(self, part, result: Result, rollout: Rollout, moments: Moments | None) -> None:
        members = slice(*part)
        rollout.put(members, Rollout(result.returns, result.lengths))
        self._counts += result.counts
        if moments is not None:
            moments.count[members], moments.first[members], moments.second[members] = result.seen

    def _retry(self, part, parts: deque, tries: Counter, counts: bool = True) -> None:
        parts.appendleft(part)
        tries[part] += counts
        if tries[part] >= MOST_TRIES:
            raise ClusterError(
                f"{MOST_TRIES} workers were lost with members {part[0]} to {part[1] - 1}, the last "
                f"because {self._team.reason}.",
                "The checkpoint of the last generation is safe; resume when the cause is found.",
            )

    # --- who is there ---

    def _patience(self, ready: bool) -> float:
        """Seconds for a worker to answer; one that is not ready has to begin first."""
        return max(self._cluster.patience, 10 * self._slowest) + (0.0 if ready else START)

    def _late(self) -> list[Post]:
        now = time.monotonic()
        return [post for post in self._team.posts if post.call is not None and now > post.until]

    def _recruit(self) -> None:
        """A worker for every core of the cluster that has none."""
        now = time.monotonic()
        if now < self._looked + POLL:
            return
        self._looked = now
        team = self._team
        for node in self._nodes():
            name, cores = node["NodeID"], int(node["Resources"]["CPU"])
            if name in team.refused or now < team.rests.get(name, (0.0, 0.0))[0]:
                continue
            there = sum(post.node == name for post in team.posts)
            wanted = min(cores - there, self._settings.population - len(team.posts))
            team.posts += [self._hire(name, node["NodeManagerAddress"]) for _ in range(wanted)]

    def _nodes(self) -> list[dict]:
        now = time.monotonic()
        head = self._connection[0]
        if not reachable(head):
            # Ray itself would end this process after a minute, without a word to the user.
            if now > self._head_seen + min(self._cluster.grace, LONGEST_ABSENCE):
                self._team.posts.clear()  # nobody could be told to end
                raise self._at_an_end(f"The head of the cluster, {head}, does not answer.")
            return []
        self._head_seen = now
        return [
            node
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        ]

    def _hire(self, node: str, host: str) -> Post:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        place = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        actor = self._ray.remote(Worker).options(num_cpus=1, scheduling_strategy=place)
        limit = self._task.max_episode_steps
        name = self._task.declaration or self._settings.task
        return Post(actor.remote(self._settings, name, limit, versions(self._task)), node, host)

    def _drop(self, post: Post, reason: str) -> None:
        log.warning("ecedge: A worker on %s is gone: %s.", post.host, reason.rstrip("."))
        team = self._team
        team.reason = f"on {post.host}: {reason.rstrip('.')}"
        team.posts.remove(post)
        rest = min(LONGEST_REST, 2 * team.rests.get(post.node, (0.0, REST / 2))[1])
        team.rests[post.node] = time.monotonic() + rest, rest
        self._kill(post)

    def _kill(self, post: Post) -> None:
        with contextlib.suppress(Exception):  # it may be dead, or out of reach
            self._ray.kill(post.actor)

    def _see_that_someone_is_there(self) -> None:
        team = self._team
        if any(post.ready for post in team.posts):
            return
        silence = time.monotonic() - self._answered
        patience = self._cluster.grace + (self._patience(ready=False) if team.posts else 0.0)
        nodes = {node["NodeID"] for node in self._nodes()} if not team.posts else set()
        if silence > patience or (nodes and nodes <= team.refused.keys()):
            raise self._at_an_end(f"No worker is left, the last news: {team.reason}.")

    def _at_an_end(self, message: str) -> ClusterError:
        return ClusterError(
            message,
            f"The checkpoint of generation {self._learner.generation} is safe. Go on with: "
            f"ecedge train --resume {self._lineage.path.parent}, with --cluster or without",
        )


# --- Ray ------------------------------------------------------------------------------------


def load_ray():
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ToolError(
            f"A cluster needs Ray, which cannot be loaded: {error}.",
            "Install it: pip install 'ecedge[cluster]'",
        ) from error
    return ray


def connect(address: str) -> None:
    """UsageError: no cluster is there."""
    import ray
    import ray._private.worker

    if address == HERE:
        address = os.environ.get("RAY_ADDRESS", HERE)
    if address != HERE and not reachable(address):
        raise UsageError(
            f"There is no Ray cluster at {address}.",
            "Give HOST:PORT as `ray start --head` printed it, and mind the firewall.",
        )
    # What Ray's own processes have to say would be printed among the results.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if main else None
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = "here" if address == HERE else f"at {address} that this machine belongs to"
        raise UsageError(
            f"There is no Ray cluster {where}.",
            "docs/CLUSTER.md has the two commands that make one: ray start --head, and "
            "ray start --address HOST:PORT on every other machine. If the first says that token "
            "authentication is enabled, all else needs its token and RAY_AUTH_MODE=token.",
        ) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there


def reachable(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return False
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT).close()
    except (OSError, OverflowError):
        return False
    return True


def gist(error: BaseException) -> str:
    """Why Ray lost a worker, in one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "creation task" in lines[0]:
        return lines[-1].strip()  # what its Python said
    return "its process has ended or cannot be reached" if "actor" in lines[0] else lines[0]
