"""policy.onnx, the one policy file: a graph for any ONNX runtime, and all that is known of it.

The graph holds the synapses and does the arithmetic; the metadata say what it is. A file is loaded
only if its policy carries the hash that the file names, and if the file is, field by field, what
`save_policy` would write for it: what a runtime computes is then what the device computes.

Metadata, each key with the prefix ``ecedge.``, each value in JSON: format, version (of ecedge),
image_version, hash, network (`NetworkSpec`), observation_map, actions (bounds; empty if discrete),
task, training (lineage), golden (steps and CRC of the golden trace), initial_state.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import ecedge

from .errors import PolicyError, StorageError, ToolError
from .model import CONTINUOUS, IMAGE_VERSION, NetworkSpec, ObservationMap, Policy
from .reference import reset
from .storage import reason, write_atomically

FORMAT = 1  # another graph or other metadata for the same policy are another format
PREFIX = "ecedge."
INITIAL_STATE = "membrane[i] = 37 * i mod 64; current, spikes and output 0"
EXPORT_AGAIN = "Export the policy again with this version of ecedge."


@dataclass(frozen=True)
class PolicyInfo:
    """What a policy file tells beside its policy.

    `task`: the id it was trained for. `low`, `high`: bounds of its continuous actions, n_act each,
    in the task's units; empty if discrete. `training`: how it came about, anything that JSON holds.
    `version`: the ecedge that wrote the file; `save_policy` fills it in.
    """

    task: str = ""
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    version: str = ""


def save_policy(path: str | os.PathLike, policy: Policy, info: PolicyInfo) -> None:
    """Writes policy.onnx; an old file stays whole if that fails (StorageError)."""
    info = replace(info, version=ecedge.__version__)
    write_atomically(path, _encode(policy, info).SerializeToString(deterministic=True))


def load_policy(path: str | os.PathLike) -> tuple[Policy, PolicyInfo]:
    """Reads policy.onnx. PolicyError says in one sentence why a file is not one."""
    return _decode(_read(path), path)


class OnnxPolicy:
    """A policy file in onnxruntime: the reference's bits, one control step per `act`.

    `policy` and `info` are what `load_policy` gives. `state` is a list: current (batch, N) int8,
    membrane (batch, N) int8, spikes (batch, N) uint8, output (batch, n_act) int16.
    """

    def __init__(self, path: str | os.PathLike, batch: int = 1):
        try:
            import onnxruntime
        except ImportError as error:
            raise ToolError(
                "onnxruntime is not installed.",
                "Install it with: pip install 'ecedge[onnxruntime]'",
            ) from error
        data = _read(path)
        self.policy, self.info = _decode(data, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a network this small only waits for other threads
        self._session = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        )
        self._batch = batch
        self.reset()

    def reset(self) -> None:
        state = reset(self.policy.spec)
        self.state = [
            np.tile(values.astype(dtype), (self._batch, 1))
            for values, dtype in (
                (state.current, np.int8),
                (state.membrane, np.int8),
                (state.spikes, np.uint8),
                (state.output, np.int16),
            )
        ]

    @property
    def output(self) -> np.ndarray:
        """The raw outputs of the last step: (batch, n_act) int16, 2048 is 1.0."""
        return self.state[3]

    def act(self, observation) -> np.ndarray:
        """(n_obs,) or (batch, n_obs) float -> action (n_act,) float32 or () int64, or a batch.

        PolicyError: an observation that is not finite.
        """
        observation = np.asarray(observation)
        expected = (self._batch, self.policy.spec.n_obs)
        if observation.shape not in (expected, expected[1:] if self._batch == 1 else expected):
            raise PolicyError(f"An observation has the shape {expected}, not {observation.shape}.")
        if not np.isfinite(observation).all():
            raise PolicyError("An observation is not a finite number.")
        with np.errstate(over="ignore"):  # beyond float32 is beyond the counts' limits too
            physical = observation.reshape(expected).astype(np.float32)
        names = ("observation", "current", "membrane", "spikes", "output")
        inputs = (physical, *self.state)
        action, *self.state = self._session.run(None, dict(zip(names, inputs, strict=True)))
        return action if observation.ndim == 2 else action[0]


def _encode(policy: Policy, info: PolicyInfo):
    """The onnx.ModelProto of a policy file."""
    from .export.onnx import build_model

    spec = policy.spec
    n_bounds = spec.n_act if spec.actions == CONTINUOUS else 0
    if not len(info.low) == len(info.high) == n_bounds:
        raise PolicyError(
            f"The policy has {spec.n_act} outputs and its task {len(info.low)} lower and "
            f"{len(info.high)} upper bounds.",
            "Give one bound for each continuous action, none for discrete ones.",
        )
    model = build_model(policy, info.low, info.high)
    model.producer_version = info.version
    maps = {name: getattr(policy.observation_map, name).tolist() for name in ObservationMap.LIMITS}
    metadata = {
        "format": FORMAT,
        "version": info.version,
        "image_version": IMAGE_VERSION,
        "hash": policy.hash,
        "network": asdict(spec),
        "observation_map": maps,
        "actions": {"low": info.low, "high": info.high},
        "task": info.task,
        "training": info.training,
        "golden": {"steps": policy.golden_steps, "crc": policy.golden_crc},
        "initial_state": INITIAL_STATE,
    }
    for key, value in metadata.items():
        try:
            text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise PolicyError(f"{key} cannot be written as JSON: {error}.") from error
        model.metadata_props.add(key=PREFIX + key, value=text)
    return model


def _decode(data: bytes, path) -> tuple[Policy, PolicyInfo]:
    """What `_encode` put into a file, proven by encoding it again."""
    if data.startswith(b"PK"):  # an npz of `training.real`
        raise PolicyError(
            f"{path} holds a network of real numbers, and only one-bit networks run on devices.",
            "Train one with the default --kind one-bit.",
        )
    model, metadata = _parse(data, path)
    versions = metadata.get("format"), metadata.get("image_version")
    if versions != (FORMAT, IMAGE_VERSION):
        raise PolicyError(
            f"{path} is a policy file of format {versions[0]} with image version {versions[1]}; "
            f"this ecedge reads {FORMAT} with {IMAGE_VERSION}.",
            EXPORT_AGAIN,
        )
    try:
        policy, info = _rebuild(model, metadata)
        untouched = _encode(policy, info) == model
    except (KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise PolicyError(
            f"The metadata of {path} are damaged: {error!r}.", EXPORT_AGAIN
        ) from error
    if policy.hash != metadata.get("hash"):
        raise PolicyError(
            f"{path} is damaged: its policy has the hash {policy.hash}, "
            f"the file says {metadata.get('hash')}.",
            EXPORT_AGAIN,
        )
    if not untouched:
        raise PolicyError(
            f"{path} is not what ecedge wrote for its policy {policy.hash}: somebody changed it.",
            EXPORT_AGAIN,
        )
    return policy, info


def _rebuild(model, metadata: dict[str, Any]) -> tuple[Policy, PolicyInfo]:
    from .export.onnx import packed_synapses

    policy = Policy(
        NetworkSpec(**metadata["network"]),
        ObservationMap(**metadata["observation_map"]),
        packed_synapses(model),
        metadata["golden"]["steps"],
        metadata["golden"]["crc"],
    )
    info = PolicyInfo(
        metadata["task"],
        tuple(metadata["actions"]["low"]),
        tuple(metadata["actions"]["high"]),
        metadata["training"],
        metadata["version"],
    )
    return policy, info


def _parse(data: bytes, path):
    """(onnx.ModelProto, metadata by key without prefix) of a file that is at least that."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise PolicyError(f"{path} is not an ONNX file, or it is cut short.") from error
    texts = {str(entry.key): entry.value for entry in model.metadata_props}
    ours = {key[len(PREFIX) :]: text for key, text in texts.items() if key.startswith(PREFIX)}
    if not ours:
        raise PolicyError(
            f"{path} has no ecedge metadata: another program made it, or it is cut short.",
            "A policy file comes from `ecedge train` or `save_policy`.",
        )
    try:
        return model, {key: json.loads(text) for key, text in ours.items()}
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"The metadata of {path} are damaged: {error}.", EXPORT_AGAIN) from error


def _read(path: str | os.PathLike) -> bytes:
    path = Path(path)
    if path.is_dir():
        raise PolicyError(f"{path} is a folder, not a policy file.")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PolicyError(f"There is no file {path}.") from error
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {reason(error)}.") from error
