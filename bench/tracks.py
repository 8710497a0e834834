"""Steps a second of one device that serves several environments at once.

    python bench/tracks.py [--devices virtual mps2-an386 ...] [--together 1 2 4 8] [--seconds 3]

1 is the plain way, a STEP and its reply after another. The plant is CartPole, its twin computes
along, and every bit is compared. Prints a table in Markdown; of one run, ratios alone mean much.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import count

import numpy as np

from ecedge.devices import open_device
from ecedge.hil import Episode, run_episodes
from ecedge.link import Device
from ecedge.model import NetworkSpec, ObservationMap, Policy
from ecedge.reference import with_golden_trace
from ecedge.tasks import find_task
from ecedge.tracks import run_together

DEVICES = ["virtual", "virtual?baud=115200", "virtual?baud=1000000", "mps2-an386"]
TASK = find_task("CartPole-v1")
MANY = 10**6  # episodes: more than there is time for


def random_policy() -> Policy:
    spec = NetworkSpec(TASK.n_obs, TASK.n_act, 64, substeps=8, actions=TASK.actions)
    words = np.random.default_rng(1).integers(0, 2**32, spec.n_words, np.uint32)
    unit = ObservationMap.from_statistics(np.zeros(TASK.n_obs), np.ones(TASK.n_obs), 40.0)
    return with_golden_trace(Policy(spec, unit, words), 2)


def episodes_of(device: Device, policy: Policy, together: int) -> Iterator[Episode]:
    if together == 1:
        return run_episodes(device, policy, TASK, MANY)
    return run_together(device, policy, TASK, MANY, together=together)


def steps_a_second(device: Device, policy: Policy, together: int, seconds: float) -> float:
    """Of whole episodes, the first of which are not counted."""
    steps = 0
    for number, episode in zip(count(), episodes_of(device, policy, together), strict=False):
        if episode.differing_bits:
            raise SystemExit(f"{episode.differing_bits} bits differ with {together} at once.")
        if number < 2 * together:
            begin = time.perf_counter()
            continue
        steps += len(episode.steps)
        if (taken := time.perf_counter() - begin) > seconds:
            return steps / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", nargs="+", default=DEVICES, metavar="DEVICE")
    parser.add_argument("--together", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    print("| device | " + " | ".join(f"{n} at once" for n in options.together) + " |")
    print("|" + "---|" * (1 + len(options.together)), flush=True)
    policy = random_policy()
    for name in options.devices:
        with open_device(name, policy) as device:
            rates = [
                steps_a_second(device, policy, together, options.seconds)
                for together in options.together
            ]
        print(f"| `{name}` | " + " | ".join(f"{rate:,.0f}" for rate in rates) + " |", flush=True)


if __name__ == "__main__":
    main()
