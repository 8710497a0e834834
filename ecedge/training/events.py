"""The run's log once more, as TensorBoard reads it: curves against environment steps."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from ..errors import StorageError
from ..storage import RESUME, reason
from .log import read_log

#: a field of the log: its name in TensorBoard
TAGS = {
    "mean": "return/mean",
    "best": "return/best",
    "worst": "return/worst",
    "evaluation": "return/evaluation",
    "varied": "return/varied",
    "horizon": "search/horizon",
    "certainty": "search/certainty",
    "activity": "network/activity",
}
SPEED = "speed/steps_per_second"


class Events:
    """Event files in `folder` beside `log`, with the face of a `Log`.

    The log is the truth: `rewind` writes the events anew from it, so that what a killed run left
    does no harm and no curve runs backwards. `append` therefore comes after the log's, and after
    one `rewind`.
    """

    def __init__(self, folder: Path, log: Path):
        self.folder = folder
        self._log = log
        self._writer = None
        self._last = {"steps": 0, "seconds": 0.0}

    def append(self, entry: dict) -> None:
        try:
            self._write(entry, time.time())
            self._writer.flush()
        except OSError as error:
            raise self._failure(error) from error

    def rewind(self, generation: int) -> None:
        """Writes the events of the log's generations before `generation`, and no others."""
        entries = [entry for entry in read_log(self._log) if entry["generation"] < generation]
        try:
            self._begin()
            # As if it had run until now without a pause.
            begun = time.time() - (entries[-1]["seconds"] if entries else 0)
            for entry in entries:
                self._write(entry, begun + entry["seconds"])
            self._writer.flush()
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError):  # `append` has said it, and what it wrote is on the disk
                writer.close()

    def _begin(self) -> None:
        """An empty file instead of what there was."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._last = {"steps": 0, "seconds": 0.0}
        self._writer = EventsWriter(str(self.folder / "events"))
        # A TensorBoard that is looking on forgets what it read of the old file.
        start = SessionLog(status=SessionLog.START)
        self._writer.write_event(Event(wall_time=time.time(), step=0, session_log=start))

    def _write(self, entry: dict, wall_time: float) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        steps, seconds = (entry[name] - self._last[name] for name in ("steps", "seconds"))
        scalars = {tag: entry.get(name) for name, tag in TAGS.items()}
        scalars[SPEED] = steps / seconds if seconds > 0 else None
        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in scalars.items()
            if value is not None
        ]
        event = Event(wall_time=wall_time, step=entry["steps"], summary=Summary(value=values))
        self._writer.write_event(event)
        self._last = entry

    def _failure(self, error: OSError) -> StorageError:
        return StorageError(
            f"Cannot write TensorBoard's events into {self.folder}: {reason(error)}.",
            RESUME,
        )
