"""`ecedge <verb>`: one verb a file. Results on stdout, talk on stderr.

Exit codes: 0 good, 1 the world failed, 2 you misused it.
"""

from __future__ import annotations

import sys

import typer

from ..errors import EcedgeError
from ..version import VERSION
from . import boards, build, demo, doctor, export, run, train

VERBS = {
    "train": train.train,
    "export": export.export,
    "build": build.build,
    "run": run.run,
    "boards": boards.boards,
    "doctor": doctor.doctor,
    "demo": demo.demo,
}

app = typer.Typer(
    name="ecedge",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train one-bit spiking controllers by evolution, and run them, bit for bit, on "
    "microcontrollers.\n\nStart with `ecedge demo`, or with "
    "`ecedge train CartPole-v1` and `ecedge run POLICY --device virtual`.",
)
for name, verb in VERBS.items():
    app.command(name)(verb)


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
    try:
        app()
    except EcedgeError as error:
        print(f"ecedge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
