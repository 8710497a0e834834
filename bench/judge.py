"""Policies on fresh episodes, by onnxruntime in stock gymnasium: nothing of ecedge's engine or
plants takes part.

    python bench/judge.py docs/results/locomotion/*/policy.onnx [--episodes 20] [--json]

Episode k is the stock environment's of seed 1,000,000,000 + k, which is told to no run.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from ecedge.policy_file import OnnxPolicy
from ecedge.tasks import find_task

FIRST_SEED = 1_000_000_000


def returns_of(policy: OnnxPolicy, episodes: int) -> np.ndarray:
    """(episodes,) float64."""
    environment = find_task(policy.info.task).make_single()
    returns = np.zeros(episodes)
    for episode in range(episodes):
        policy.reset()
        observation, _ = environment.reset(seed=FIRST_SEED + episode)
        over = False
        while not over:
            observation, reward, *ends, _ = environment.step(policy.act(observation))
            returns[episode] += reward
            over = any(ends)
    environment.close()
    return returns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policies", nargs="+")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print every row as JSON")
    options = parser.parse_args()
    if not options.json:
        print("| Task | mean | deviation | least | env steps | neurons | image | policy |")
        print("|---|---|---|---|---|---|---|---|")
    for path in options.policies:
        policy = OnnxPolicy(path)
        returns = returns_of(policy, options.episodes)
        row = {
            "task": policy.info.task,
            "mean": float(returns.mean()),
            "deviation": float(returns.std()),
            "least": float(returns.min()),
            "steps": policy.info.training.get("steps"),
            "neurons": policy.policy.spec.n_neurons,
            "image_bytes": len(policy.policy.image),
            "hash": policy.policy.hash,
        }
        if options.json:
            print(json.dumps(row), flush=True)
            continue
        steps = f"{row['steps'] / 1e6:.1f} M" if row["steps"] else ""
        print(
            f"| {row['task']} | {row['mean']:.0f} | {row['deviation']:.0f} | {row['least']:.0f} "
            f"| {steps} | {row['neurons']} | {row['image_bytes']:,} B | {row['hash']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
