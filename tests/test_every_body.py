"""A hundred thousand control steps in the reference, the core, every kernel and onnxruntime."""

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from test_engine import DENSITIES, FORMS, any_policy, any_raw, batch_of

from ecedge import reference
from ecedge.engine import CoreNetwork, kernels
from ecedge.model import CONTINUOUS, SIGNED, NetworkSpec, Policy
from ecedge.policy_file import OnnxPolicy, PolicyInfo, save_policy
from ecedge.reference.network import input_drive, substep, unpacked


@dataclass(frozen=True)
class Stretch:
    """`policies` random policies of one width, each with `streams` episodes of `steps` steps."""

    n_neurons: int
    policies: int
    streams: int
    steps: int


STRETCHES = [
    Stretch(32, policies=24, streams=64, steps=45),
    Stretch(64, policies=12, streams=48, steps=38),
    Stretch(96, policies=6, streams=32, steps=32),
    Stretch(256, policies=6, streams=24, steps=24),
    Stretch(512, policies=3, streams=16, steps=20),
    Stretch(1024, policies=4, streams=12, steps=16),
]


def reference_digests(policy: Policy, raw) -> list[int]:
    """The digest over every state of every stream. raw: (T, streams, n_obs)."""
    spec = policy.spec
    w_in, w_rec, w_out = unpacked(policy)  # control_step does so at every step
    digests = []
    for stream in range(raw.shape[1]):
        state, digest = reference.reset(spec), 0
        for row in raw[:, stream]:
            drive = input_drive(policy, w_in, row)
            for _ in range(spec.substeps):
                state = substep(spec, w_rec, w_out, drive, state)
            digest = zlib.crc32(reference.state_bytes(state), digest)
        digests.append(digest)
    return digests


def core_digests(policy: Policy, raw) -> list[int]:
    network, digests = CoreNetwork(policy), []
    for stream in range(raw.shape[1]):
        network.reset()
        digest = 0
        for row in raw[:, stream]:
            network.step(row)
            digest = network.digest(digest)
        digests.append(digest)
    return digests


def kernel_digests(kernel: str, policy: Policy, raw) -> list[int]:
    batch = batch_of(policy, raw.shape[1], kernel=kernel)
    digests = [0] * raw.shape[1]
    for rows in raw:
        batch.step(rows)
        digests = [zlib.crc32(batch.state(k), digest) for k, digest in enumerate(digests)]
    return digests


def onnx_digests(path, policy: Policy, raw) -> list[int]:
    bounds = (1.0,) * policy.spec.n_act if policy.spec.actions == CONTINUOUS else ()
    save_policy(path, policy, PolicyInfo(low=tuple(-x for x in bounds), high=bounds))
    runner = OnnxPolicy(path, batch=raw.shape[1])
    digests = [0] * raw.shape[1]
    for rows in raw:
        observations = np.ldexp(rows.astype(np.float32), -policy.observation_map.exponent)
        runner.act(observations)
        current, membrane, spikes, output = runner.state
        packed = np.packbits(spikes, axis=1, bitorder="little")
        for k, digest in enumerate(digests):
            state = b"".join(part[k].tobytes() for part in (current, membrane, packed, output))
            digests[k] = zlib.crc32(state, digest)
    return digests


def long_run() -> Iterator[tuple[Policy, np.ndarray]]:
    """Policies of every kind, with counts (T, streams, n_obs)."""
    random = np.random.default_rng(2024)
    for stretch in STRETCHES:
        for number in range(stretch.policies):
            n, form = stretch.n_neurons, FORMS[number % 2]
            spec = NetworkSpec(
                n_obs=int(random.integers(1, 18)),
                n_act=int(random.integers(1, 7)),
                n_neurons=n,
                n_exc=n if form == SIGNED else int(random.integers(0, n + 1)),
                form=form,
                substeps=1 + number % (4 if n < 256 else 2),
                current_shift=int(random.integers(1, 5)),
                membrane_shift=int(random.integers(1, 5)),
                output_shift=int(random.integers(1, 8)),
                recurrent_gain=int(random.integers(-3, 4)),
                output_gain=int(random.integers(4, 13)),
                input_shift=int(random.integers(0, 4)),
                actions=number // 2 % 2,
            )
            density = DENSITIES[number % len(DENSITIES)] if number % 3 else 0.5
            policy = any_policy(int(random.integers(1 << 32)), spec, density)
            shape = stretch.steps, stretch.streams, spec.n_obs
            yield policy, any_raw(int(random.integers(1 << 32)), *shape)


def test_every_body_gives_equal_bits_on_100000_control_steps(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    bodies = {"core": core_digests}
    for name in kernels():
        bodies[name] = lambda policy, raw, name=name: kernel_digests(name, policy, raw)
    bodies["onnxruntime"] = lambda policy, raw: onnx_digests(tmp_path / "p.onnx", policy, raw)
    seconds = dict.fromkeys(["reference", *bodies], 0.0)
    steps = 0
    for policy, raw in long_run():
        begun = time.perf_counter()
        expected = reference_digests(policy, raw)
        seconds["reference"] += time.perf_counter() - begun
        for name, digests in bodies.items():
            begun = time.perf_counter()
            assert digests(policy, raw) == expected, (name, policy.spec)
            seconds[name] += time.perf_counter() - begun
        steps += raw.shape[0] * raw.shape[1]
    with capsys.disabled():
        took = ", ".join(f"{name} {spent:.1f} s" for name, spent in seconds.items())
        print(f"\n{steps:,} control steps in each body, every state equal: {took}")
    assert steps >= 100_000
