"""The frozen network: its shape, its observation map, its bits, and the image that carries them.

docs/MODEL.md is the specification; this module is its data. It computes no network step: see
`ecedge.reference` for the arithmetic.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .errors import PolicyError

V_TH = 64
OUTPUT_ONE = 2048  # the output that means 1.0
EXCITATORY_INHIBITORY, SIGNED = 0, 1
CONTINUOUS, DISCRETE = 0, 1

IMAGE_MAGIC = 0x31504345
IMAGE_VERSION = 1
HEADER = struct.Struct("<IHHIHHHHBBBBBbBBBBHI8sI")
HASH_OFFSET = 36
GOLDEN_STEPS_MOST = 64  # so that a device's proof takes bounded time
MAP_ENTRY = np.dtype(
    [("offset", "<i2"), ("multiplier", "<u2"), ("shift", "u1"), ("exponent", "i1"), ("zero", "<u2")]
)

#: field: (lowest, highest) allowed, docs/MODEL.md section 1
LIMITS = {
    "n_obs": (1, 1024),
    "n_act": (1, 64),
    "n_neurons": (32, 1024),
    "form": (0, 1),
    "substeps": (1, 64),
    "current_shift": (1, 7),
    "membrane_shift": (1, 7),
    "output_shift": (1, 7),
    "recurrent_gain": (-7, 7),
    "output_gain": (0, 12),
    "input_shift": (0, 7),
    "actions": (0, 1),
}


@dataclass(frozen=True)
class NetworkSpec:
    """The numbers that define a network, all but its observation map and its bits.

    Gains are exponents of two: a recurrent synapse weighs ``2**recurrent_gain`` (V_TH is 64), an
    output synapse ``2**output_gain`` (1.0 is 2048). Decay shifts k stand for a factor 1 - 2**-k a
    substep. `n_exc` defaults to half the neurons; the signed form has no groups.
    """

    n_obs: int
    n_act: int
    n_neurons: int = 128
    n_exc: int | None = None
    form: int = EXCITATORY_INHIBITORY
    substeps: int = 16
    current_shift: int = 3
    membrane_shift: int = 3
    output_shift: int = 3
    recurrent_gain: int = 0
    output_gain: int = 7
    input_shift: int = 0
    actions: int = CONTINUOUS

    def __post_init__(self):
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise PolicyError(f"{name} is {value}; allowed is {low} to {high}.")
        if self.n_neurons % 32:
            raise PolicyError(f"n_neurons is {self.n_neurons}; it must be a multiple of 32.")
        if self.n_exc is None:
            signed = self.form == SIGNED
            object.__setattr__(self, "n_exc", self.n_neurons if signed else self.n_neurons // 2)
        if not 0 <= self.n_exc <= self.n_neurons:
            raise PolicyError(f"n_exc is {self.n_exc}; allowed is 0 to {self.n_neurons}.")
        if self.form == SIGNED and self.n_exc != self.n_neurons:
            raise PolicyError("The signed form has no inhibitory group: n_exc must be n_neurons.")

    @property
    def n_rows(self) -> int:
        """Rows of the stacked matrices W_in, W_rec, W_out."""
        return 2 * self.n_obs + self.n_neurons + self.n_act

    @property
    def n_words(self) -> int:
        """32-bit words of all synapses."""
        return self.n_rows * self.n_neurons // 32

    @property
    def n_synapses(self) -> int:
        return self.n_rows * self.n_neurons

    @property
    def image_size(self) -> int:
        """Bytes of the policy image."""
        return HEADER.size + 8 * self.n_obs + 4 * self.n_words + 4

    @property
    def rows_in(self) -> slice:
        return slice(0, 2 * self.n_obs)

    @property
    def rows_rec(self) -> slice:
        return slice(2 * self.n_obs, 2 * self.n_obs + self.n_neurons)

    @property
    def rows_out(self) -> slice:
        return slice(2 * self.n_obs + self.n_neurons, self.n_rows)

    @property
    def complemented_rows(self) -> slice:
        """Rows of the stack that an image stores complemented: the inhibitory ones of W_rec."""
        return slice(2 * self.n_obs + self.n_exc, 2 * self.n_obs + self.n_neurons)


@dataclass(frozen=True)
class ObservationMap:
    """How a physical observation becomes a count, and a count an input (docs/MODEL.md section 2).

    Four arrays of shape (n_obs,), int32 here, within the ranges of the image's fields.
    """

    offset: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    exponent: np.ndarray

    LIMITS = {
        "offset": (-32768, 32767),
        "multiplier": (0, 32767),
        "shift": (0, 16),
        "exponent": (-16, 30),
    }

    def __post_init__(self):
        for name, (low, high) in self.LIMITS.items():
            values = np.array(getattr(self, name), dtype=np.int32)
            if values.ndim != 1 or values.shape != np.shape(self.offset):
                raise PolicyError(f"The observation map's {name} must have one value a channel.")
            if values.size and not (low <= values.min() and values.max() <= high):
                raise PolicyError(
                    f"The observation map's {name} goes from {values.min()} to {values.max()}; "
                    f"allowed is {low} to {high}."
                )
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    @property
    def n_obs(self) -> int:
        return len(self.offset)

    @classmethod
    def from_statistics(cls, mean, deviation, gain: float, reach: float = 8.0) -> ObservationMap:
        """The integer map closest to ``q = gain * (obs - mean) / deviation``.

        mean, deviation: (n_obs,) float64, physical units; gain: q units per standard deviation.
        The counts' exponent is the finest one that still holds `reach` deviations around the mean.
        A channel that never moved (deviation 0) is switched off. Raises PolicyError for statistics
        that are not finite.
        """
        mean = np.asarray(mean, np.float64)
        deviation = np.asarray(deviation, np.float64)
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            raise PolicyError("The mean or the deviation of an observation is not a finite number.")
        alive = deviation > 1e-8 * np.maximum(1.0, np.abs(mean))
        extent = np.maximum(np.abs(mean) + reach * deviation, 1e-12)
        exponent = np.clip(np.floor(np.log2(32767.0 / extent)), -16, 30).astype(np.int32)
        unit = np.ldexp(1.0, exponent)  # counts per physical unit
        offset = np.clip(np.rint(mean * unit), -32768, 32767).astype(np.int32)
        slope = gain / np.where(alive, deviation * unit, 1.0)  # q per count
        shift = np.clip(np.floor(np.log2(32767.0 / slope)), 0, 16).astype(np.int32)
        multiplier = np.clip(np.rint(np.ldexp(slope, shift)), 0, 32767).astype(np.int32)
        return cls(
            offset,
            np.where(alive, multiplier, 0),
            np.where(alive, shift, 0),
            exponent,
        )

    def encode(self, observation) -> np.ndarray:
        """Counts of an observation. (..., n_obs) float -> (..., n_obs) int16.

        Raises PolicyError for an observation that is not finite.
        """
        if not np.isfinite(observation).all():
            raise PolicyError("An observation is not a finite number.")
        with np.errstate(over="ignore"):  # infinite is clipped like the rest
            scaled = np.asarray(observation, np.float32) * self._counts_per_unit
        return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)

    def decode(self, raw) -> np.ndarray:
        """The observation of counts, in physical units. (..., n_obs) int16 -> (..., n_obs) float32,
        exactly."""
        return np.ldexp(np.asarray(raw, np.float32), -self.exponent)

    @cached_property
    def _counts_per_unit(self) -> np.ndarray:
        return np.ldexp(np.float32(1), self.exponent)

    def to_bytes(self) -> bytes:
        entries = np.zeros(self.n_obs, MAP_ENTRY)
        for name in self.LIMITS:
            entries[name] = getattr(self, name)
        return entries.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> ObservationMap:
        entries = np.frombuffer(data, MAP_ENTRY)
        if entries["zero"].any():
            raise PolicyError("A reserved field of the observation map is not zero.")
        return cls(*(entries[name].astype(np.int32) for name in cls.LIMITS))

    def __eq__(self, other) -> bool:
        return isinstance(other, ObservationMap) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())


@dataclass(frozen=True)
class Policy:
    """A network with its observation map and its bits: all that a device needs.

    synapses: (n_rows, N / 32) uint32, rows of W_in, W_rec, W_out as docs/MODEL.md stacks them,
    plain (not complemented). golden_steps and golden_crc are the golden trace's; make them with
    `ecedge.reference.with_golden_trace`. With 0 steps nothing is proven, and no device takes it.
    """

    spec: NetworkSpec
    observation_map: ObservationMap
    synapses: np.ndarray
    golden_steps: int = 0
    golden_crc: int = 0

    def __post_init__(self):
        spec = self.spec
        synapses = np.array(self.synapses, dtype="<u4")
        if synapses.size != spec.n_words:
            raise PolicyError(
                f"The network has {spec.n_words} words of synapses, but {synapses.size} came."
            )
        if self.observation_map.n_obs != spec.n_obs:
            raise PolicyError(
                f"The observation map has {self.observation_map.n_obs} channels, "
                f"the network {spec.n_obs}."
            )
        if not 0 <= self.golden_steps <= GOLDEN_STEPS_MOST:
            raise PolicyError(
                f"The golden trace has {self.golden_steps} steps; "
                f"allowed is 0 to {GOLDEN_STEPS_MOST}."
            )
        synapses = synapses.reshape(spec.n_rows, spec.n_neurons // 32)
        synapses.setflags(write=False)
        object.__setattr__(self, "synapses", synapses)

    @cached_property
    def image(self) -> bytes:
        """The policy image of docs/MODEL.md section 6."""
        unhashed = self._body(bytes(8))
        body = self._body(hashlib.sha256(unhashed).digest()[:8])
        return body + struct.pack("<I", zlib.crc32(body))

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name this policy."""
        return self.image[HASH_OFFSET : HASH_OFFSET + 8].hex()

    def _body(self, digest: bytes) -> bytes:
        spec = self.spec
        stored = self.synapses.copy()
        stored[spec.complemented_rows] ^= 0xFFFFFFFF
        header = HEADER.pack(
            IMAGE_MAGIC,
            IMAGE_VERSION,
            HEADER.size,
            spec.image_size,
            spec.n_obs,
            spec.n_act,
            spec.n_neurons,
            spec.n_exc,
            spec.form,
            spec.substeps,
            spec.current_shift,
            spec.membrane_shift,
            spec.output_shift,
            spec.recurrent_gain,
            spec.output_gain,
            spec.input_shift,
            spec.actions,
            0,
            self.golden_steps,
            self.golden_crc,
            digest,
            0,
        )
        return header + self.observation_map.to_bytes() + stored.tobytes()

    @classmethod
    def from_image(cls, image: bytes) -> Policy:
        """Reads and checks a policy image; PolicyError says what is wrong with it."""
        if len(image) < HEADER.size:
            raise PolicyError(f"A policy image has at least {HEADER.size} bytes, not {len(image)}.")
        fields = HEADER.unpack_from(image)
        magic, version, header_size, image_size = fields[:4]
        if magic != IMAGE_MAGIC:
            raise PolicyError("This is not an ecedge policy image: its first bytes are not ECP1.")
        if version != IMAGE_VERSION or header_size != HEADER.size:
            raise PolicyError(
                f"The policy image has version {version}; this ecedge reads {IMAGE_VERSION}.",
                "Export the policy again with this version.",
            )
        n_obs, n_act, n_neurons, n_exc, form = fields[4:9]
        spec = NetworkSpec(n_obs, n_act, n_neurons, n_exc, form, *fields[9:17])
        reserved, golden_steps, golden_crc, _, reserved_word = fields[17:]
        if reserved or reserved_word:
            raise PolicyError("A reserved field of the policy image is not zero.")
        if image_size != spec.image_size or image_size != len(image):
            raise PolicyError(
                f"The policy image is damaged or cut short: it should have {spec.image_size} "
                f"bytes, says {image_size} and has {len(image)}."
            )
        if zlib.crc32(image[:-4]) != struct.unpack("<I", image[-4:])[0]:
            raise PolicyError("The policy image is damaged: its CRC does not match.")
        map_end = HEADER.size + 8 * n_obs
        stored = np.frombuffer(image[map_end:-4], "<u4").reshape(spec.n_rows, -1).copy()
        stored[spec.complemented_rows] ^= 0xFFFFFFFF
        observation_map = ObservationMap.from_bytes(image[HEADER.size : map_end])
        policy = cls(spec, observation_map, stored, golden_steps, golden_crc)
        if policy.image != image:
            raise PolicyError("The policy image does not carry its own hash.")
        return policy

    def with_golden(self, steps: int, crc: int) -> Policy:
        return replace(self, golden_steps=steps, golden_crc=crc)


def decode_action(spec: NetworkSpec, output, low=None, high=None):
    """The task's action for the network's output. (..., n_act) int16 -> action.

    Continuous: (..., n_act) float32 between the task's bounds `low` and `high`, each (n_act,).
    Discrete: (...) int64, the lowest index on a tie.
    """
    output = np.asarray(output)
    if spec.actions == DISCRETE:
        return np.argmax(output, axis=-1)
    clipped = np.clip(output.astype(np.int32), -OUTPUT_ONE, OUTPUT_ONE)
    fraction = (clipped + OUTPUT_ONE).astype(np.float32) / np.float32(2 * OUTPUT_ONE)
    low = np.asarray(low, np.float32)
    return low + (np.asarray(high, np.float32) - low) * fraction


def encode_action(spec: NetworkSpec, action, low=None, high=None) -> np.ndarray:
    """The outputs that `decode_action` makes this action of, or the nearest. (n_act,) int16.

    An action is `decode_action`'s for one network; what lies beyond the bounds counts as on them.
    Raises PolicyError for one that is none of the task's.
    """
    values = np.asarray(action)
    if spec.actions == DISCRETE:
        if values.shape != () or values.dtype.kind not in "iu" or not 0 <= values < spec.n_act:
            raise PolicyError(f"An action is a number of 0 to {spec.n_act - 1}, not {action!r}.")
        return np.where(np.arange(spec.n_act) == values, OUTPUT_ONE, 0).astype(np.int16)
    if values.shape != (spec.n_act,) or not np.isfinite(values).all():
        raise PolicyError(f"An action is {spec.n_act} finite numbers, not {action!r}.")
    low = np.asarray(low, np.float64)
    span = np.asarray(high, np.float64) - low
    fraction = np.clip((values - low) / np.where(span > 0, span, 1.0), 0.0, 1.0)
    return np.rint(fraction * 2 * OUTPUT_ONE - OUTPUT_ONE).astype(np.int16)
