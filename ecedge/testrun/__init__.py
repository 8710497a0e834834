"""Test runs over all devices of a rig, and what they leave: docs/HIL.md."""

from .junit import save_junit
from .quarantine import Entry, Quarantine, put_into_quarantine, read_quarantine
from .recording import Recording, load_recording, record, replay, save_recording
from .results import Attempt, DeviceResult, Outcome, Plan, TestRun
from .schedule import Observer, run_rig
from .steps import StepLog

__all__ = [
    "Attempt",
    "DeviceResult",
    "Entry",
    "Observer",
    "Outcome",
    "Plan",
    "Quarantine",
    "Recording",
    "StepLog",
    "TestRun",
    "load_recording",
    "put_into_quarantine",
    "read_quarantine",
    "record",
    "replay",
    "run_rig",
    "save_junit",
    "save_recording",
]
