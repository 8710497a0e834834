"""How long the episodes of training are: short ones first, where members die young."""

from __future__ import annotations

import numpy as np

GROWTH = 1.02  # a generation


class Horizon:
    """`steps` of an episode in training.

    The first generation's episodes are as long as the last ones. If most members live to their end,
    they stay so: what such a task asks for may take its time. If most do not, episodes are cut to
    `first` steps, and grow whenever most members lived to see that. While they are short, all who
    stay up earn alike for that, and who also goes forward is ahead: the reward for merely standing,
    a trap of many tasks, decides nothing. And episodes that teach little cost little.
    """

    def __init__(self, first: int | None, last: int):
        self.first = last if first is None else min(first, last)
        self.last = last
        self.steps = last

    def follow(self, generation: int, lengths: np.ndarray) -> None:
        """lengths: (P,) steps of the members' episodes in that generation."""
        most_lived = np.median(lengths) >= self.steps
        if most_lived:
            self.steps = min(self.last, int(self.steps * GROWTH) + 1)
        elif generation == 0:
            self.steps = self.first
