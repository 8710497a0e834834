"""By which settings evolution recovers from the story's change in the fewest episodes.

    python bench/recovery.py [--seeds 5] [--members 16 32] [--rates 0.2 0.3] [--certainties 0.9]

No device: the host's twin alone draws, runs and learns, which gives the numbers of a device. A row
tells the episodes until an evaluation is SOLVED, for each seed; "no": not within MOST. With
--scratch, of the stock CartPole from even odds.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from story import CHANGED, NEURONS, SOLVED, STOCK, SUBSTEPS, train

from ecedge.errors import EcedgeError
from ecedge.evolve import Lockstep, Plan, policy_from_scratch
from ecedge.evolve.run import EPISODES, EVALUATION, seeds_of
from ecedge.model import Policy
from ecedge.reference import centered_ranks
from ecedge.tasks import find_task
from ecedge.training.one_bit import OneBitNetworks
from ecedge.training.rollout import Population, evaluate
from ecedge.training.settings import Settings

MOST = 640  # episodes


def episodes_until_solved(plan: Plan, policy: Policy) -> int | None:
    task = find_task(plan.task)
    twin = Lockstep(plan.origin(policy))
    members = OneBitNetworks(policy.spec, task, plan.population)
    members.set_map(policy.observation_map)
    judged_by = seeds_of(plan.seed, EVALUATION, 0, plan.evaluation_episodes)
    with Population(task, members) as population:
        for generation in range(MOST // plan.population):
            members.sample(twin.rho, plan.seed, generation)
            (seed,) = seeds_of(plan.seed, EPISODES, generation, 1)
            twin.learn(centered_ranks(population.roll_out(seed).returns))
            judged = OneBitNetworks.of(twin.decided(), task, len(judged_by))
            if evaluate(judged, task, judged_by).mean() >= SOLVED:
                return (generation + 1) * plan.population
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--members", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.2, 0.3, 0.4])
    parser.add_argument("--certainties", type=float, nargs="+", default=[0.9])
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/story"))
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    certainties = [0.5] if arguments.scratch else arguments.certainties
    task = STOCK if arguments.scratch else find_task(str(CHANGED)).declaration
    print("| members | learning rate | certainty | episodes of each seed |\n|---|---|---|---|")
    try:
        for members, rate, certainty in itertools.product(
            arguments.members, arguments.rates, certainties
        ):
            took = []
            for seed in seeds:
                if arguments.scratch:
                    shape = {"neurons": NEURONS, "substeps": SUBSTEPS, "population": members}
                    policy = policy_from_scratch(Settings(STOCK, seed=seed, **shape))
                else:
                    policy = train(arguments.out / f"seed{seed}/train", seed)
                plan = Plan(task, seed, members, rate, certainty=certainty)
                took.append(episodes_until_solved(plan, policy))
            told = ", ".join("no" if each is None else f"{each}" for each in took)
            print(f"| {members} | {rate:g} | {certainty:g} | {told} |", flush=True)
    except EcedgeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
