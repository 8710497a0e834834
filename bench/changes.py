"""How a trained policy bears a changed plant: CartPole's, for each of several changes.

    python bench/changes.py [--seeds 3] [--episodes 30]

The policies are the story's (bench/story.py), trained on the stock plant until they return 500, and
judged on plants that differ from it in one thing or in a few, by the host's engine: what a device
does, too. A row tells the mean return of each seed's policy.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from story import STOCK, train

from ecedge.errors import EcedgeError
from ecedge.tasks import find_task
from ecedge.training.one_bit import OneBitNetworks
from ecedge.training.rollout import evaluate

JUDGED = 4  # a stream of seeds that no training uses


def pole(scale: float) -> dict:
    return {"pole_length": {"scale": scale}}


def motor(scale: float) -> dict:
    return {"gain": {"scale": scale}}


def late(steps: int) -> dict:
    return {"action_delay": {"steps": steps}}


CHANGES = {
    "none": {},
    "pole half as long": pole(0.5),
    "pole twice as long": pole(2.0),
    "pole three times as long": pole(3.0),
    "motor at 0.3": motor(0.3),
    "motor at 3": motor(3.0),
    "one step late": late(1),
    "two steps late": late(2),
    "three steps late": late(3),
    "half the pole, one step late": pole(0.5) | late(1),
    "half the pole, motor at 1.5, one step late (the story's)": pole(0.5) | motor(1.5) | late(1),
    "half the pole, two steps late": pole(0.5) | late(2),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("build/story"))
    arguments = parser.parse_args()
    if min(arguments.seeds, arguments.episodes) < 1:
        parser.error("there is nothing to judge by less than one seed and one episode")
    words = np.random.SeedSequence(JUDGED).generate_state(arguments.episodes)
    episodes = [int(word) >> 1 for word in words]
    try:
        policies = [
            train(arguments.out / f"seed{seed}/train", seed) for seed in range(arguments.seeds)
        ]
        print("| Change | mean return of each seed |\n|---|---|")
        for name, vary in CHANGES.items():
            task = find_task(json.dumps({"id": STOCK, "vary": vary}))
            means = [
                evaluate(OneBitNetworks.of(policy, task, len(episodes)), task, episodes).mean()
                for policy in policies
            ]
            print(f"| {name} | {', '.join(f'{mean:.0f}' for mean in means)} |", flush=True)
    except EcedgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
