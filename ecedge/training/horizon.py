"""How long the episodes of training are: short ones first."""

from __future__ import annotations

import numpy as np

GROWTH = 1.02  # a generation


class Horizon:
    """`steps` of an episode in training, from `first` to `last`.

    It grows whenever most members lived to see it. While it is short, all who stay up earn alike
    for that, and who also goes forward is ahead: the reward for merely standing, a trap of many
    tasks, decides nothing. And episodes that teach little cost little.
    """

    def __init__(self, first: int | None, last: int):
        self.last = last
        self.steps = last if first is None else min(first, last)

    def grow(self, lengths: np.ndarray) -> None:
        """lengths: (P,) steps of the members' episodes."""
        if np.median(lengths) >= self.steps:
            self.steps = min(self.last, int(self.steps * GROWTH) + 1)
