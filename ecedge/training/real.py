"""What the kinds of real numbers share: how they are drawn, act, and are kept."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..engine import Rivals, n_weights
from ..errors import PolicyError, StorageError
from ..evolution import Strategies
from ..model import CONTINUOUS, NetworkSpec
from ..policy_file import PolicyInfo
from ..storage import reason, write_atomically
from ..tasks import Task
from .cost import Cost
from .normaliser import CLIP, Normaliser
from .rollout import usable_cores
from .settings import Settings

FORMAT = 1
START = 7  # the stream of the first mean's seeds


@dataclass(frozen=True)
class Scale:
    """Inputs in standard deviations, within ±CLIP. mean, factor: (n_obs,) float64."""

    mean: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, normaliser: Normaliser) -> Scale:
        mean, deviation = normaliser.mean, normaliser.deviation()
        alive = deviation > 1e-8 * np.maximum(1.0, np.abs(mean))
        return cls(mean.copy(), np.where(alive, 1 / np.where(alive, deviation, 1.0), 0.0))

    def encode(self, observations) -> np.ndarray:
        """(..., n_obs) float -> (..., n_obs) float64. PolicyError: not a finite number."""
        if not np.isfinite(observations).all():
            raise PolicyError("An observation is not a finite number.")
        with np.errstate(over="ignore"):
            return np.clip((observations - self.mean) * self.factor, -CLIP, CLIP)


@dataclass(frozen=True)
class RealPolicy:
    """A trained rival: all that its actions follow from. weights: (n,) float32, as its model in
    host/batch/ec_rivals.h lays them out."""

    kind: str
    spec: NetworkSpec
    scale: Scale
    weights: np.ndarray

    @property
    def image(self) -> bytes:
        return _pack(self, {})

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name this policy."""
        return hashlib.sha256(self.image).hexdigest()[:16]


def save_real_policy(path: str | os.PathLike, policy: RealPolicy, info: PolicyInfo) -> None:
    """Writes policy.npz; an old file stays whole if that fails (StorageError)."""
    write_atomically(path, _pack(policy, {"task": info.task, "training": info.training}))


def load_real_policy(path: str | os.PathLike) -> tuple[RealPolicy, PolicyInfo]:
    """Reads policy.npz. PolicyError says in one sentence why a file is not one."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {reason(error)}.") from error
    try:
        policy, head = _unpack(data)
        return policy, PolicyInfo(task=head["task"], training=head["training"])
    except Exception as error:  # readers of zip and npy raise whatever they like at damage
        raise PolicyError(
            f"{path} is damaged, or not a network of real numbers of this ecedge.",
            "Train it again: ecedge train TASK --kind KIND",
        ) from error


def _pack(policy: RealPolicy, more: dict) -> bytes:
    head = {"format": FORMAT, "kind": policy.kind, "network": asdict(policy.spec), **more}
    digest = hashlib.sha256(json.dumps(head).encode())
    arrays = {
        "mean": policy.scale.mean.astype("<f8"),
        "factor": policy.scale.factor.astype("<f8"),
        "weights": policy.weights.astype("<f4"),
    }
    for array in arrays.values():
        digest.update(array.tobytes())
    file = io.BytesIO()
    head = np.array(json.dumps({**head, "digest": digest.hexdigest()}))
    np.savez(file, head=head, **arrays)
    return file.getvalue()


def _unpack(data: bytes) -> tuple[RealPolicy, dict]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        head = json.loads(str(file["head"]))
        scale = Scale(file["mean"], file["factor"])
        spec = NetworkSpec(**head["network"])
        policy = RealPolicy(head["kind"], spec, scale, file["weights"])
    if policy.weights.shape != (n_weights(policy.kind, spec),):
        raise ValueError("another number of weights")
    if scale.mean.shape != (spec.n_obs,) or scale.factor.shape != (spec.n_obs,):
        raise ValueError("another number of observations")
    more = {name: head[name] for name in ("task", "training") if name in head}
    if _pack(policy, more) != data:
        raise ValueError("not what was written")
    return policy, head


class RealKind:
    """A kind that evolution strategies train. What is its own: `model`, of the engine's rivals,
    and how parameters of size 1 become weights."""

    model: ClassVar[str]
    file = "policy.npz"

    def __init__(self, settings: Settings, task: Task):
        self.task = task
        self.spec = settings.network(task)
        self.n_parameters = n_weights(self.model, self.spec)
        self._settings = settings

    def start(self, random: np.random.Generator) -> np.ndarray:
        """The parameters that training begins with: (n_parameters,) float32."""
        raise NotImplementedError

    def weights_of(self, parameters: np.ndarray) -> np.ndarray:
        """What the engine gets: (n_parameters,) float32 of size 1 -> (n_parameters,) float32."""
        raise NotImplementedError

    def search(self) -> Strategies:
        settings = self._settings
        random = np.random.Generator(
            np.random.Philox(np.random.SeedSequence((settings.seed, START)))
        )
        return Strategies(
            self.start(random),
            settings.population,
            settings.es_sigma,
            settings.es_rate,
            settings.seed,
        )

    def networks(self, population: int, threads: int | None = None) -> RealNetworks:
        return RealNetworks(self.model, self.spec, self.task, population, threads, self.weights_of)

    def freeze(self, normaliser: Normaliser) -> Scale:
        return Scale.of(normaliser)

    def policy(self, search: Strategies, scale: Scale) -> RealPolicy:
        return RealPolicy(self.model, self.spec, scale, self.weights_of(search.deterministic()))

    def controllers(self, policy: RealPolicy, population: int, threads: int | None = None):
        return RealNetworks.of(policy, self.task, population, threads)

    def prove(self, policy: RealPolicy) -> RealPolicy:
        return policy

    def save(self, path: Path, policy: RealPolicy, info: PolicyInfo) -> None:
        save_real_policy(path, policy, info)

    def read(self, image: bytes) -> RealPolicy:
        return _unpack(image)[0]

    def cost(self, activity: float) -> Cost:
        """`activity`: spikes a neuron and substep, of what spikes."""
        raise NotImplementedError


class RealNetworks(Rivals):
    """A population of networks that act in a task's terms."""

    def __init__(
        self,
        model: str,
        spec: NetworkSpec,
        task: Task,
        population: int,
        threads: int | None = None,
        weights_of: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        super().__init__(model, spec, population, threads)
        self._low = np.array(task.low, np.float32)
        self._high = np.array(task.high, np.float32)
        self._output = np.zeros((population, spec.n_act))
        self._weights_of = weights_of
        self._threads = ThreadPoolExecutor(threads or usable_cores())

    @classmethod
    def of(cls, policy: RealPolicy, task: Task, population: int, threads: int | None = None):
        """`population` times the same policy."""
        networks = cls(policy.kind, policy.spec, task, population, threads)
        networks.set_map(policy.scale)
        for member in range(population):
            networks.load(member, policy.weights)
        return networks

    def set_map(self, scale: Scale) -> None:
        self._scale = scale

    def map(self, function, items) -> list:
        return list(self._threads.map(function, items))

    def draw(self, mean: np.ndarray, sigma: float, noise: np.ndarray) -> None:
        step = np.float32(sigma)

        def load(member: int) -> None:
            own = step if member % 2 == 0 else -step
            self.load(member, self._weights_of(mean + own * noise[member // 2]))

        self.map(load, range(self.population))

    def act(self, members: slice, observations: np.ndarray, live: np.ndarray) -> np.ndarray:
        """One control step, as `one_bit.OneBitNetworks.act`."""
        output = self._output[members]
        self.step_part(members.start, self._scale.encode(observations), live, out=output)
        return decode(self.spec, output, self._low, self._high)


def decode(spec: NetworkSpec, output: np.ndarray, low, high) -> np.ndarray:
    """The task's action, as `ecedge.model.decode_action`; ±1 are the bounds. (M, n_act) float64."""
    if spec.actions != CONTINUOUS:
        return np.argmax(output, axis=-1)
    fraction = (np.clip(output, -1.0, 1.0) + 1).astype(np.float32) / 2
    return low + (high - low) * fraction
