"""`ecedge <verb>`: one verb a file. Results on stdout, talk on stderr.

Exit codes: 0 good; 2 what was asked cannot be done here (a wrong use, no such device, no room on
the disk) or was interrupted; 1 it was begun and failed.
"""

from __future__ import annotations

import functools
import os
import signal
import sys

import typer

from ..errors import EcedgeError
from ..version import VERSION
from . import (
    boards,
    build,
    compare,
    demo,
    devices,
    doctor,
    evolve,
    export,
    hil,
    plot,
    proxy,
    replay,
    report,
    run,
    train,
    watch,
)
from .options import INTERRUPTED

VERBS = {
    "train": train.train,
    "export": export.export,
    "build": build.build,
    "report": report.report,
    "run": run.run,
    "hil": hil.hil,
    "replay": replay.replay,
    "watch": watch.watch,
    "plot": plot.plot,
    "compare": compare.compare,
    "evolve": evolve.evolve,
    "proxy": proxy.proxy,
    "boards": boards.boards,
    "devices": devices.devices,
    "doctor": doctor.doctor,
    "demo": demo.demo,
}
#: verbs that read their words in a way of their own
COMMANDS = {"train": train.Train}

app = typer.Typer(
    name="ecedge",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train one-bit spiking controllers by evolution, and run them, bit for bit, on "
    "microcontrollers.\n\nStart with `ecedge demo`, or with "
    "`ecedge train CartPole-v1` and `ecedge run POLICY --device virtual`.",
)


def interruptible(verb):
    """The verb, with one sentence where Ctrl-C would be a traceback."""

    @functools.wraps(verb)
    def run_verb(*arguments, **options):
        try:
            return verb(*arguments, **options)
        except KeyboardInterrupt:
            print("ecedge: Interrupted.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None

    return run_verb


for name, verb in VERBS.items():
    app.command(name, cls=COMMANDS.get(name))(interruptible(verb))


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"ecedge {VERSION}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(
        False, "--version", callback=show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def main() -> None:
    sys.path.insert(0, os.getcwd())  # a task of one's own, `module:EnvId`, may lie here
    # Ended politely, a verb ends what it has started: emulators, devices.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except EcedgeError as error:
        print(f"ecedge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # of stdout: files have errors of their own
        print(f"ecedge: {(error.strerror or str(error))}.", file=sys.stderr)
        sys.exit(2)
