"""Generations that a device runs by itself, on its own plant: docs/LINK.md, "Practice"."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import learning
from .device import Device
from .learning import CONFIRMED, DECIDED, Practice, Progress, Record, Snapshot, SnapshotVerb
from .messages import MessageType


def begin_practice(device: Device, practice: Practice) -> None:
    """The device, whose policy evolves, goes on by itself from the generation where it is. Raises
    DeviceRefused: code CAPACITY and as its detail how many generations there is room for."""
    device.request(MessageType.PRACTICE, practice.pack())


def progress(device: Device) -> Progress:
    """Keeps one going that needs its host. DeviceRefused: code IMAGE where nothing evolves."""
    return Progress.unpack(device.request(MessageType.PROGRESS))


def record(device: Device, generation: int, population: int) -> Record:
    """All of a generation's record. DeviceRefused: code ARGUMENT where the device has none."""
    most = (device.hello.max_payload - Record.LAYOUT.size) // 4
    parts: list[Record] = []
    for first in range(0, population, most):
        count = min(most, population - first)
        question = learning.record_request(generation, first, count)
        size = Record.LAYOUT.size + 4 * count
        parts.append(Record.unpack(device.request(MessageType.RECORD, question, size), count))
    return replace(parts[0], fitness=np.concatenate([part.fitness for part in parts]))


def confirm(device: Device, member: int | None = None) -> None:
    """The device keeps this member of the generation, or the deterministic policy, as the one that
    `recall` brings back."""
    number = DECIDED if member is None else member
    device.request(MessageType.CONFIRM, learning.member_request(number))


def recall(device: Device) -> None:
    """Ends what the device does; from its next reset or episode on it runs the policy that was
    confirmed, at first the one that evolution began from."""
    device.request(MessageType.MEMBER, learning.member_request(CONFIRMED))


def snapshot(device: Device) -> Snapshot:
    """What a device keeps in its flash of what it learned. This and the next two are DeviceRefused
    with code FLASH where there is none, or it does not fit."""
    return _snapshot(device, SnapshotVerb.TELL)


def save(device: Device) -> Snapshot:
    """Ends what the device does, and saves what it has learned, records and all."""
    return _snapshot(device, SnapshotVerb.SAVE)


def load(device: Device) -> Snapshot:
    """The device's policy evolves as it did when the snapshot was taken."""
    return _snapshot(device, SnapshotVerb.LOAD)


def _snapshot(device: Device, verb: SnapshotVerb) -> Snapshot:
    return Snapshot.unpack(device.request(MessageType.SNAPSHOT, learning.snapshot_request(verb)))
