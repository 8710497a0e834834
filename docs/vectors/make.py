"""Makes the golden vectors of this folder with the NumPy reference; README.md explains them.

    python docs/vectors/make.py [folder]

The same inputs come out on every machine: all of them are Threefry words.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
from cobs import cobs

from ecedge import reference
from ecedge.link import Limit
from ecedge.model import (
    DISCRETE,
    EXCITATORY_INHIBITORY,
    HASH_OFFSET,
    SIGNED,
    NetworkSpec,
    ObservationMap,
    Policy,
)
from ecedge.plants import CartPole
from ecedge.reference.network import input_drive

HERE = Path(__file__).parent
MAX_WORD = 0xFFFFFFFF


def main(folder: Path) -> None:
    for name, make in FILES.items():
        about, cases = make()
        (folder / f"{name}.json").write_text(as_text(about, cases))


def as_text(about: str, cases: list[dict]) -> str:
    """JSON with one case a line, so that a changed case is a changed line."""
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    return f'{{"about": {json.dumps(about)},\n"cases": [\n{lines}\n]}}\n'


# --- inputs -----------------------------------------------------------------------------------


def words(stream: int, count: int) -> np.ndarray:
    """(count,) uint32 random words; every stream gives others."""
    return reference.threefry2x32((0x76656374, stream), (np.arange(count, dtype=np.uint32), 0))[0]


def integers(stream: int, low: int, high: int, count: int) -> np.ndarray:
    """(count,) int64 between low and high, both included."""
    return low + (words(stream, count).astype(np.int64) % (high - low + 1))


def as_hex(array) -> str:
    """The array's bytes, little-endian."""
    array = np.asarray(array)
    return array.astype(array.dtype.newbyteorder("<")).tobytes().hex()


# --- threefry ---------------------------------------------------------------------------------


def threefry():
    published = [
        ((0, 0), (0, 0)),
        ((MAX_WORD, MAX_WORD), (MAX_WORD, MAX_WORD)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3)),
    ]
    ours = words(1, 64).reshape(16, 4).tolist()
    cases = [
        {"source": source, "key": key, "counter": counter, "result": one_threefry(key, counter)}
        for source, pairs in (
            ("Random123 kat_vectors", published),
            ("ecedge", [(pair[:2], pair[2:]) for pair in ours]),
        )
        for key, counter in pairs
    ]
    return "threefry2x32-20: docs/MODEL.md section 3", cases


def one_threefry(key, counter) -> list[int]:
    return [int(word) for word in reference.threefry2x32(key, counter)]


# --- sampling ---------------------------------------------------------------------------------


def sampling():
    cases = []
    for dtype in (np.uint16, np.uint8):
        top = np.iinfo(dtype).max
        half = top // 2 + 1
        rho = integers(2, 0, top, 160)
        rho[:8] = 0, 1, half - 1, half, half + 1, top - 1, top, 0
        rho = rho.astype(dtype)
        for seed, generation, member in (
            (0, 0, 0),
            (1, 2, 3),
            (MAX_WORD, MAX_WORD, reference.sampling.MEMBER_LIMIT - 1),
            (0x12345678, 70000, 255),
        ):
            sampled = reference.sample_synapses(rho, seed, generation, member)
            cases.append(
                {
                    "bits": 8 * rho.itemsize,
                    "rho": as_hex(rho),
                    "seed": seed,
                    "generation": generation,
                    "member": member,
                    "synapses": as_hex(sampled),
                    "deterministic": as_hex(reference.deterministic_synapses(rho)),
                }
            )
    return "one-bit synapses from probabilities: docs/MODEL.md section 4", cases


# --- evolution --------------------------------------------------------------------------------


def ranks():
    random = integers(3, -5, 5, 33).tolist()
    fitness = [[1, 2], [7, 7, 7], [3, 1, 2], [-(2**31), 2**31 - 1, 0, 0], [5, 5, 1, 9, 9], random]
    cases = [{"fitness": f, "ranks": reference.centered_ranks(f).tolist()} for f in fitness]
    return "tie-safe integer ranks: docs/MODEL.md section 5", cases


def steps():
    settings = [(0.1, 128), (0.1, 256), (0.15, 2), (0.001, 4096), (1.0, 64), (0.3, 17)]
    cases = [
        {"learning_rate": lr, "population": p, "step": reference.step_size(lr, p)}
        for lr, p in settings
    ]
    return "the integer E of a learning rate: docs/MODEL.md section 5", cases


def updates():
    """Whole generations: sampled members, ranks, gradient, ρ before and after."""
    cases = []
    for bits, seed, generation, population, learning_rate in (
        (16, 1, 0, 8, 0.1),
        (16, 2, 9, 5, 2.0),
        (8, 1, 0, 8, 0.1),
        (8, MAX_WORD, 12345, 5, 2.0),
    ):
        dtype = np.uint16 if bits == 16 else np.uint8
        low, high = reference.evolution.BOUNDS[np.dtype(dtype)]
        rho = integers(4 + bits, low, high, 128)
        rho[:4] = low, high, low, high
        rho = rho.astype(dtype)
        members = [reference.sample_synapses(rho, seed, generation, k) for k in range(population)]
        fitness = integers(seed % 97, -3, 3, population)
        gradient = reference.gradient(reference.centered_ranks(fitness), np.array(members))
        step = reference.step_size(learning_rate, population)
        moved = reference.update_rho(rho, gradient, step, seed, generation)
        cases.append(
            {
                "bits": bits,
                "seed": seed,
                "generation": generation,
                "fitness": fitness.tolist(),
                "step": step,
                "rho": as_hex(rho),
                "synapses": [as_hex(member) for member in members],
                "gradient": gradient.tolist(),
                "moved": as_hex(moved),
            }
        )
    return "one generation: docs/MODEL.md sections 4 and 5", cases


# --- observations -----------------------------------------------------------------------------


def observations():
    cases = [
        # halves round to even, limits saturate, the exponent's ends
        observed("halves", [0.5, 1.5, 2.5, -0.5, -1.5, -2.5], exponent=0),
        observed("limits", [32767.4, 32767.5, 1e9, -32768.4, -32768.6, -3e38], exponent=0),
        observed("small exponent", [65536.0, -98304.0, 2**31, -(2**31)], exponent=-16),
        observed("large exponent", [1e-9, 2**-31, 3 * 2**-31, 3.4e38, 1e-45, -1e-38], exponent=30),
        # x >> k and halves of negative numbers, the switched-off channel, the largest products
        observed("shifts", range(-8, 8), multiplier=1, shift=1),
        observed("deep shifts", integers(20, -32768, 32767, 16), multiplier=200, shift=16),
        observed("off", [1, -1, 30000], multiplier=0, shift=3),
        observed("widest", [32767, -32768] * 2, offset=[-32768, 32767] * 2, multiplier=32767),
        observed(
            "widest, shifted", [32767, -32768], offset=[-32768, 32767], multiplier=32767, shift=16
        ),
    ]
    count = 24
    cases.append(
        observed(
            "mixed",
            integers(21, -(2**20), 2**20, count) / 2**12,
            exponent=integers(22, 0, 8, count),
            offset=integers(23, -500, 500, count),
            multiplier=integers(24, 0, 300, count),
            shift=integers(25, 6, 14, count),
        )
    )
    return "physical observation -> count -> q: docs/MODEL.md sections 1 and 2", cases


def observed(name, physical, offset=0, multiplier=1, shift=0, exponent=0) -> dict:
    physical = np.array(list(physical), np.float32)
    full = [np.broadcast_to(f, physical.shape) for f in (offset, multiplier, shift, exponent)]
    observation_map = ObservationMap(*full)
    raw = observation_map.encode(physical)
    return {
        "name": name,
        "physical": as_hex(physical),
        "exponent": observation_map.exponent.tolist(),
        "raw": raw.tolist(),
        "offset": observation_map.offset.tolist(),
        "multiplier": observation_map.multiplier.tolist(),
        "shift": observation_map.shift.tolist(),
        "q": quantised(observation_map, raw),
    }


def quantised(observation_map: ObservationMap, raw) -> list[int]:
    """q by the reference's own input layer: synapses that copy observation i to neuron i."""
    spec = NetworkSpec(observation_map.n_obs, 1, n_neurons=32)
    bits = np.zeros((spec.n_rows, 32), np.uint8)
    bits[np.arange(spec.n_obs), np.arange(spec.n_obs)] = 1
    policy = Policy(spec, observation_map, np.packbits(bits, axis=1, bitorder="little").view("<u4"))
    w_in = bits[spec.rows_in].astype(np.int64)
    return input_drive(policy, w_in, raw)[: spec.n_obs].tolist()


# --- networks ---------------------------------------------------------------------------------

ONES = 1.0
NONE = 0.0


def networks():
    ei, signed = EXCITATORY_INHIBITORY, SIGNED
    cases = [
        network("small", 1, NetworkSpec(4, 2, 32, actions=DISCRETE, substeps=4)),
        network("smallest", 2, NetworkSpec(1, 1, 32, form=signed, substeps=1)),
        network("odd groups", 3, NetworkSpec(3, 3, 64, n_exc=17, substeps=33, membrane_shift=4)),
        network("signed", 4, NetworkSpec(5, 2, 64, form=signed, recurrent_gain=-2, output_gain=4)),
        network("odd counts", 5, NetworkSpec(7, 5, 96, output_shift=4, input_shift=2)),
        network("odd signed", 6, NetworkSpec(3, 7, 96, form=signed, recurrent_gain=-1)),
        network("slow", 7, NetworkSpec(2, 1, 32, ei, substeps=64, current_shift=7,
                                       membrane_shift=7, output_shift=7, output_gain=0)),
        network("weak gain", 8, NetworkSpec(2, 2, 64, recurrent_gain=-7, input_shift=1)),
        network("silent", 9, NetworkSpec(3, 2, 64), NONE, NONE, ONES),
        network("all active", 10, NetworkSpec(2, 3, 64, n_exc=64, output_gain=0), ONES, ONES, ONES,
                drive=1),
        network("all inhibitory", 11, NetworkSpec(2, 2, 32, n_exc=0), ONES, ONES, ONES, drive=1),
        network("saturated", 12, NetworkSpec(2, 2, 64, n_exc=40, recurrent_gain=7, output_gain=12,
                                             output_shift=7), 0.5, 0.5, 0.7),
        network("saturated signed", 13, NetworkSpec(3, 3, 96, form=signed, recurrent_gain=7,
                                                    output_gain=12), 0.6, 0.4, 0.5),
        network("pushed down", 14, NetworkSpec(1, 2, 32, n_exc=8), ONES, 0.5, 0.5, drive=-1),
    ]  # fmt: skip
    return "whole control steps, digests included: docs/MODEL.md sections 1 and 6", cases


def network(name, stream, spec, w_in=0.5, w_rec=0.5, w_out=0.5, drive=0, steps=12) -> dict:
    """A run of a network whose synapses are set with the probabilities w_in, w_rec and w_out.

    drive: 1 or -1 pushes every neuron up or down by all that an observation can; 0: random counts.
    """
    observation_map = ObservationMap(
        integers(100 * stream, -400, 400, spec.n_obs),
        integers(100 * stream + 1, 1000, 4000, spec.n_obs),
        integers(100 * stream + 2, 9, 12, spec.n_obs),
        np.zeros(spec.n_obs),
    )
    probability = np.repeat([w_in, w_rec, w_out], [2 * spec.n_obs, spec.n_neurons, spec.n_act])
    if drive:
        probability[spec.n_obs : 2 * spec.n_obs] = NONE
    random = words(100 * stream + 3, spec.n_synapses).reshape(spec.n_rows, -1)
    bits = random < (probability * 2.0**32)[:, None]
    synapses = np.packbits(bits, axis=1, bitorder="little").view("<u4")
    policy = reference.with_golden_trace(Policy(spec, observation_map, synapses), steps=8)

    raws = integers(100 * stream + 4, -2000, 2000, steps * spec.n_obs).reshape(steps, spec.n_obs)
    raws = np.full_like(raws, 32767 * drive) if drive else raws
    raws[-1] = np.where(np.arange(spec.n_obs) % 2, -32768, 32767)
    state, digest, outputs, digests, spikes = reference.reset(spec), 0, [], [], []
    for raw in raws:
        state = reference.control_step(policy, state, raw)
        digest = zlib.crc32(reference.state_bytes(state), digest)
        outputs.append(state.output.tolist())
        digests.append(digest)
        spikes.append(int(state.spikes.sum()))
    return {
        "name": name,
        "image": policy.image.hex(),
        "hash": policy.hash,
        "golden_steps": policy.golden_steps,
        "golden_crc": policy.golden_crc,
        "raw": raws.tolist(),
        "output": outputs,
        "digest": digests,
        "last_spikes": spikes,
        "last_state": reference.state_bytes(state).hex(),
    }


# --- images -----------------------------------------------------------------------------------


def images():
    """Images that must be refused; hash and CRC are right unless they are what is wrong."""
    good = bytes.fromhex(network("good", 50, NetworkSpec(1, 1, 32, substeps=2))["image"])
    signed = replace(Policy.from_image(good), spec=NetworkSpec(1, 1, 32, form=SIGNED))
    signed = reference.with_golden_trace(signed).image
    fields = [
        ("magic", 0, "<I", 0x31504346),
        ("version", 4, "<H", 2),
        ("header size", 6, "<H", 52),
        ("image size", 8, "<I", len(good) - 4),
        ("image size", 8, "<I", len(good) + 4),
        ("image size", 8, "<I", MAX_WORD),
        ("n_obs", 12, "<H", 0),
        ("n_obs", 12, "<H", 1025),
        ("n_act", 14, "<H", 0),
        ("n_act", 14, "<H", 65),
        ("N", 16, "<H", 0),
        ("N", 16, "<H", 33),
        ("N", 16, "<H", 1056),
        ("n_exc", 18, "<H", 33),
        ("form", 20, "B", 2),
        ("form that needs n_exc = N", 20, "B", 1),
        ("K", 21, "B", 0),
        ("K", 21, "B", 65),
        ("k_c", 22, "B", 0),
        ("k_c", 22, "B", 8),
        ("k_m", 23, "B", 0),
        ("k_m", 23, "B", 8),
        ("k_o", 24, "B", 0),
        ("k_o", 24, "B", 8),
        ("g", 25, "b", -8),
        ("g", 25, "b", 8),
        ("g_out", 26, "B", 13),
        ("k_in", 27, "B", 8),
        ("actions", 28, "B", 2),
        ("reserved byte", 29, "B", 1),
        ("golden steps", 30, "<H", 65),
        ("golden steps", 30, "<H", MAX_WORD & 0xFFFF),
        ("reserved word", 44, "<I", 1),
        ("multiplier", 50, "<H", 32768),
        ("shift", 52, "B", 17),
        ("exponent", 53, "b", -17),
        ("exponent", 53, "b", 31),
        ("reserved in the map", 54, "<H", 1),
    ]
    cases = [
        image_case(f"{name} {value}", patched(good, offset, kind, value))
        for name, offset, kind, value in fields
    ]
    cases += [image_case(f"first {n} bytes", good[:n]) for n in (0, 1, 47, 48, 56, len(good) - 1)]
    cases += [
        image_case(f"bit {bit} flipped", flipped(good, bit))
        for bit in (0, 100, 8 * 38, 8 * 48, 8 * 60 + 3, 8 * len(good) - 1)
    ]
    cases.append(image_case("signed, n_exc 16", patched(signed, 18, "<H", 16)))
    cases.append(image_case("hash", with_crc(flipped(good, 8 * HASH_OFFSET)), "host"))
    cases.append(image_case("golden steps 0", patched(good, 30, "<H", 0), "device"))
    accepted = [image_case("good", good, "none"), image_case("good, signed", signed, "none")]
    return "policy images, good and to be refused: docs/MODEL.md section 6", accepted + cases


def image_case(name: str, image: bytes, refused_by: str = "all") -> dict:
    return {"name": name, "image": image.hex(), "refused_by": refused_by}


def patched(image: bytes, offset: int, kind: str, value: int) -> bytes:
    """The image with one field changed, its hash and CRC made right again."""
    body = bytearray(image[:-4])
    struct.pack_into(kind, body, offset, value)
    body[HASH_OFFSET : HASH_OFFSET + 8] = bytes(8)
    body[HASH_OFFSET : HASH_OFFSET + 8] = hashlib.sha256(body).digest()[:8]
    return with_crc(bytes(body) + bytes(4))


def with_crc(image: bytes) -> bytes:
    return image[:-4] + struct.pack("<I", zlib.crc32(image[:-4]))


def flipped(image: bytes, bit: int) -> bytes:
    image = bytearray(image)
    image[bit // 8] ^= 1 << bit % 8
    return bytes(image)


# --- frames -----------------------------------------------------------------------------------


def frames():
    hello = struct.pack("<IH", 0x45474345, 1)
    packets = [
        ("HELLO", 0x01, 0x1234, 1, hello),
        ("RESET", 0x02, 0x1234, 2, struct.pack("<BxxxI", 1, 0)),
        ("STEP", 0x03, 1, 0xFFFF, struct.pack("<4h", -32768, -1, 0, 32767)),
        ("STATUS without payload", 0x07, 0xFFFF, 0, b""),
        ("reply: error SESSION", 0x83, 7, 3, struct.pack("<BI", 3, 0)),
        ("UPLOAD_DATA of zeros", 0x05, 7, 4, bytes(32)),
        ("244 payload bytes: 254 in all", 0x05, 0x0101, 0x0101, b"\x01" * 244),
        ("245 payload bytes", 0x05, 0x0101, 0x0101, b"\xff" * 245),
        ("600 payload bytes", 0x05, 0x0101, 0x0101, words(40, 150).tobytes()),
    ]
    cases = []
    for name, kind, session, sequence, payload in packets:
        packet = with_frame_crc(struct.pack("<BBHH", kind, 0, session, sequence) + payload)
        cases.append(
            {
                "name": name,
                "type": kind,
                "session": session,
                "sequence": sequence,
                "payload": payload.hex(),
                "line": (cobs.encode(packet) + b"\0").hex(),
            }
        )
    packet = with_frame_crc(struct.pack("<BBHH", 1, 0, 0x1234, 1) + hello)
    nonzero = with_frame_crc(struct.pack("<BBHH", 1, 1, 0x1234, 1) + hello)
    for name, line in (
        ("empty", b""),
        ("COBS code beyond the end", b"\x05\x11"),
        ("shorter than 10 bytes", cobs.encode(with_frame_crc(b"\x01\0\x34\x12\x01"))),
        ("wrong CRC", cobs.encode(flipped(packet, 0))),
        ("second byte not zero", cobs.encode(nonzero)),
        ("cut short", cobs.encode(packet)[:-1]),
        ("two frames glued", cobs.encode(packet) * 2),
    ):
        cases.append({"name": name, "dropped": True, "line": (line + b"\0").hex()})
    return "packets on the line: docs/LINK.md section 1", cases


# --- device-clocked episodes --------------------------------------------------------------------

#: of 32 neurons: trained to keep the pole up
BALANCES = bytes.fromhex(
    "4543503101003000fc0000000400020020001000000803030300070001001000d40ccd1b175f33bde162cdc7"
    "0000000062fc4d01100e000009fe6901100d0000c2fe7c0110100000c0ff4401100d0000dbcb14613797fdaf"
    "56abc07cd3e171f8a9659207587ad32428b42a43f1372e5315e436b0441711f751d71a1dd46b89fbf951bbde"
    "f9f9b40cd6accb6c1581a60ce4d958487a8de8cbc4340fbbfe18916272d13d92f0501138ff30483bca8aff29"
    "5101caadc57607a9f8ddcb702a4ab90da0841cab4d9ab93f42c647cc545bba675de6076088ae39aa96ad7c1e"
    "8706579afedc23201c3d33cfc48cddb3bef13635ed5c50fcd6ca2e43a3656e59"
)


def episodes():
    falling = NetworkSpec(n_obs=4, n_act=2, n_neurons=32, substeps=4, actions=DISCRETE)
    observation_map = ObservationMap([0] * 4, [64] * 4, [4] * 4, [13, 12, 16, 12])
    falls = reference.with_golden_trace(
        Policy(falling, observation_map, words(120, falling.n_words)), 4
    )
    balances = Policy.from_image(BALANCES)
    free, held = Limit(), Limit(0, 0)
    narrow, slow = Limit(-300, 250, 2000), Limit(-32768, 32767, 40)
    return (
        "device-clocked episodes of the plant cart-pole: docs/LINK.md section 3",
        [
            episode("balances", balances, 0, 200, free, free),
            episode("one step", balances, 1, 1, free, free),
            episode("the largest seed", balances, MAX_WORD, 50, free, free),
            episode("falls", falls, 2, 200, free, free),
            episode("within a range", balances, 3, 100, narrow, narrow),
            episode("within a slew", balances, 4, 100, slow, slow),
            episode("one output held", balances, 5, 200, held, narrow),
        ],
    )


def episode(name: str, policy: Policy, seed: int, steps: int, *limits: Limit) -> dict:
    plant = CartPole(policy.observation_map)
    state = reference.reset(policy.spec)
    applied = np.zeros(policy.spec.n_act, np.int16)
    taken = total = clamps = trajectory = 0
    ended = False
    plant.begin(seed)
    while not ended and taken < steps:
        raw = plant.sense()
        state = reference.control_step(policy, state, raw)
        wanted = state.output.astype(np.int16)
        pairs = zip(limits, wanted.tolist(), applied.tolist(), strict=True)
        applied = np.array([limit.apply(*pair) for limit, *pair in pairs], np.int16)
        clamps += int((applied != wanted).sum())
        trajectory = zlib.crc32(raw.tobytes() + applied.tobytes(), trajectory)
        plant.apply(applied)
        reward, ended = plant.judge()
        total, taken = total + reward, taken + 1
    return {
        "name": name,
        "image": policy.image.hex(),
        "seed": seed,
        "most_steps": steps,
        "limits": [astuple(limit) for limit in limits],
        "end": 2 if ended else 3,
        "steps": taken,
        "clamps": clamps,
        "return": total,
        "trajectory": trajectory,
    }


def with_frame_crc(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


FILES = {
    "threefry": threefry,
    "sampling": sampling,
    "ranks": ranks,
    "steps": steps,
    "updates": updates,
    "observations": observations,
    "networks": networks,
    "images": images,
    "frames": frames,
    "episodes": episodes,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
