"""Several episodes at once on one device, each on a track of its own: docs/LINK.md, "Tracks".

    device     steps of A │           steps of B │           steps of A │
    line     A           A│B                    B│A                    A│B
    host                  │ plants of A          │ plants of B          │ plants of A

The tracks take turns in two parts: while the device steps one, the plants and twins of the other go
on here. So neither waits for the other's work, and the line's latency is one of many steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from .errors import BoardError
from .hil import Episode, Step, Twin, count_bits
from .link import Device
from .link.device import Question
from .link.messages import TrackReply, TrackStep
from .model import Policy, decode_action
from .tasks import Task


class _Track:
    """An episode on the device, its plant and its twin."""

    def __init__(self, number: int, policy: Policy, task: Task):
        self.number = number
        self.environment = task.make_single()
        self._policy = policy
        self._twin = Twin(policy)
        self._range = np.array(task.low, np.float32), np.array(task.high, np.float32)

    def begin(self, seed: int) -> None:
        self.seed, self.steps, self.total = seed, [], 0.0
        self._twin.reset()
        self._see(self.environment.reset(seed=seed)[0])

    def _see(self, observation) -> None:
        self._raw = self._policy.observation_map.encode(observation)

    def question(self) -> TrackStep:
        return TrackStep(self.number, self._raw, begins=not self.steps)

    def take(self, reply: TrackReply, ticks: int, latency: float) -> bool:
        """A step of plant and twin; whether the episode has ended."""
        expected = self._twin.step(self._raw)
        differing = count_bits(reply.output.tobytes(), expected.tobytes())
        differing = max(differing, int(reply.digest != self._twin.digest))
        action = decode_action(self._policy.spec, reply.output, *self._range)
        observation, reward, terminated, truncated, _ = self.environment.step(action)
        self.total += float(reward)
        told = reply.output, reply.digest, ticks, reply.spikes
        self.steps.append(Step(self._raw, *told, latency, differing, float(reward), reply.output))
        self._see(observation)
        return terminated or truncated

    def episode(self) -> Episode:
        return Episode(self.seed, self.total, tuple(self.steps))


def run_together(
    device: Device,
    policy: Policy,
    task: Task,
    episodes: int,
    seed: int = 0,
    together: int = 8,
    note: Callable[[int, int, Step], None] | None = None,
) -> Iterator[Episode]:
    """As `ecedge.hil.run_episodes`, but up to `together` episodes at once, each as it ends.

    Of a Step, `latency` is that of the request, and `ticks` the mean of what it asked for. Where
    bits of the state differ, one is counted. Raises BoardError where the device has no room.
    """
    device.check_policy(policy)
    if device.tracks_at_once == 0:
        raise BoardError(
            f"A packet of {device.hello.board} is too short for a step of a track.",
            "Run episodes one after another.",
        )
    room = device.begin_tracks(min(together, episodes))
    if room == 0:
        raise BoardError(
            f"{device.hello.board} has no room for episodes at once beside its policy.",
            "Run them one after another.",
        )
    seeds = iter(range(seed, seed + episodes))
    tracks = [_Track(number, policy, task) for number in range(room)]
    try:
        for track in tracks:
            track.begin(next(seeds))
        waiting = deque(_parts(tracks, device.tracks_at_once))
        asked = _ask(device, waiting)
        while asked:
            part, question = asked
            replies, ticks = device.answer_tracks(question)
            latency = device.round_trip
            asked = _ask(device, waiting)  # the other part, while this one's plants go on
            goes_on = []
            for track, reply in zip(part, replies, strict=True):
                ended = track.take(reply, ticks // len(part), latency)
                if note:
                    note(track.seed, len(track.steps) - 1, track.steps[-1])
                if ended:
                    yield track.episode()
                    if (following := next(seeds, None)) is None:
                        continue
                    track.begin(following)
                goes_on.append(track)
            if goes_on:
                waiting.append(goes_on)
            asked = asked or _ask(device, waiting)
        device.stop()
    finally:
        for track in tracks:
            track.environment.close()


def _parts(tracks: list[_Track], most: int) -> list[list[_Track]]:
    """In two, or as many as it takes for `most` in each."""
    count = min(max(2, -(-len(tracks) // most)), len(tracks))
    return [tracks[number::count] for number in range(count)]


def _ask(device: Device, waiting: deque[list[_Track]]) -> tuple[list[_Track], Question] | None:
    if not waiting:
        return None
    part = waiting.popleft()
    return part, device.ask_tracks([track.question() for track in part])
