"""One network, one control step at a time: docs/MODEL.md sections 1, 2 and 6."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..model import EXCITATORY_INHIBITORY, V_TH, NetworkSpec, Policy
from .random import threefry2x32

GOLDEN_STEPS = 16
GOLDEN_KEY = 0x45434754


@dataclass
class State:
    """current, membrane: (N,) int32 with int8 values; spikes: (N,) int32 of 0 and 1;
    output: (n_act,) int32 with int16 values."""

    current: np.ndarray
    membrane: np.ndarray
    spikes: np.ndarray
    output: np.ndarray


def reset(spec: NetworkSpec) -> State:
    neurons = np.arange(spec.n_neurons, dtype=np.int32)
    silent = np.zeros(spec.n_neurons, np.int32)
    return State(silent, 37 * neurons % 64, silent, np.zeros(spec.n_act, np.int32))


def control_step(policy: Policy, state: State, raw) -> State:
    """Feeds raw counts (n_obs,) int16 and runs K substeps; the result's `output` is the action."""
    *_, state = substeps(policy, state, raw)
    return state


def substeps(policy: Policy, state: State, raw) -> Iterator[State]:
    """The state after each of the K substeps of a control step."""
    spec = policy.spec
    w_in, w_rec, w_out = unpacked(policy)
    drive = input_drive(policy, w_in, raw)
    for _ in range(spec.substeps):
        state = substep(spec, w_rec, w_out, drive, state)
        yield state


def input_drive(policy: Policy, w_in: np.ndarray, raw) -> np.ndarray:
    """x: (N,) int32 from counts (n_obs,) int16 and w_in (2 n_obs, N)."""
    spec, obs = policy.spec, policy.observation_map
    distance = np.asarray(raw, np.int64) - obs.offset
    q = np.clip(round_shift(distance * obs.multiplier, obs.shift), -127, 127)
    positive, negative = w_in[: spec.n_obs], w_in[spec.n_obs :]
    total = q @ (positive - negative)
    return np.clip(round_shift(total, spec.input_shift), -127, 127).astype(np.int32)


def substep(spec: NetworkSpec, w_rec, w_out, drive, state: State) -> State:
    s = sat8(signed_count(spec, state.spikes, w_rec))
    g = spec.recurrent_gain
    synaptic = sat8(s << g) if g >= 0 else s >> -g
    current = sat8(state.current - (state.current >> spec.current_shift) + synaptic)
    leaked = state.membrane - (state.membrane >> spec.membrane_shift)
    membrane = sat8(leaked + sat8(current + drive))
    spikes = (membrane >= V_TH).astype(np.int32)
    membrane = np.where(spikes, 0, membrane)
    counts = signed_count(spec, spikes, w_out.T)
    leaked = state.output - (state.output >> spec.output_shift)
    output = np.clip(leaked + (counts << spec.output_gain), -32768, 32767)
    return State(current, membrane, spikes, output)


def signed_count(spec: NetworkSpec, spikes, weights) -> np.ndarray:
    """Spikes through one-bit synapses: (N,) and (N, M) -> (M,) int32, the sign by group or form."""
    if spec.form == EXCITATORY_INHIBITORY:
        sign = np.where(np.arange(spec.n_neurons) < spec.n_exc, 1, -1).astype(np.int32)
        return (sign * spikes) @ weights
    return 2 * (spikes @ weights) - spikes.sum()


def sat8(x):
    return np.clip(x, -128, 127)


def round_shift(x, k):
    """floor(x / 2**k + 1/2)."""
    k = np.asarray(k)
    return (x + ((1 << k) >> 1)) >> k


def unpacked(policy: Policy) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W_in (2 n_obs, N), W_rec (N, N), W_out (n_act, N) as int32 of 0 and 1."""
    spec = policy.spec
    bits = np.unpackbits(policy.synapses.view(np.uint8), axis=1, bitorder="little").astype(np.int32)
    return bits[spec.rows_in], bits[spec.rows_rec], bits[spec.rows_out]


def state_bytes(state: State) -> bytes:
    """The state in the order of the digest: c, v, s, o."""
    return (
        state.current.astype(np.int8).tobytes()
        + state.membrane.astype(np.int8).tobytes()
        + np.packbits(state.spikes.astype(np.uint8), bitorder="little").tobytes()
        + state.output.astype("<i2").tobytes()
    )


def golden_input(policy: Policy, step: int) -> np.ndarray:
    """The counts (n_obs,) int16 of one step of the golden trace."""
    channel = np.arange(policy.spec.n_obs, dtype=np.uint32)
    word, _ = threefry2x32((GOLDEN_KEY, step), (channel, 0))
    noise = (word & np.uint32(0xFFFF)).astype(np.uint16).view(np.int16).astype(np.int32)
    raw = policy.observation_map.offset + (noise >> (step % 8))
    return np.clip(raw, -32768, 32767).astype(np.int16)


def golden_crc(policy: Policy, steps: int) -> int:
    """The running digest of `steps` control steps of the golden trace."""
    state, crc = reset(policy.spec), 0
    for step in range(steps):
        state = control_step(policy, state, golden_input(policy, step))
        crc = zlib.crc32(state_bytes(state), crc)
    return crc


def with_golden_trace(policy: Policy, steps: int = GOLDEN_STEPS) -> Policy:
    """The policy with its proof: what `Policy.image` needs before it goes to a device."""
    return policy.with_golden(steps, golden_crc(policy, steps))
