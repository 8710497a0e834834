"""`ecedge proxy`: a line that fails on purpose, between a host and a device."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Annotated

import typer

from ..errors import UsageError


def chance(words: str):
    return Annotated[float, typer.Option(help=f"Chance of a byte that {words}.")]


def proxy(
    device: Annotated[
        str,
        typer.Argument(
            help="As of `ecedge run --device`: a port such as /dev/ttyACM0, socket://HOST:PORT, "
            "or a board to emulate, which starts without a policy.",
            metavar="PORT",
        ),
    ],
    listen: Annotated[
        str, typer.Option(help="Where hosts come: HOST:PORT, port 0 for any.")
    ] = "127.0.0.1:0",
    drop: chance("it is lost") = 0.0,
    flip: chance("one of its bits is another") = 0.0,
    duplicate: chance("it comes twice") = 0.0,
    reorder: chance("it comes after the next one") = 0.0,
    truncate: chance("it and the rest of its frame are lost") = 0.0,
    delay: chance("it comes 20 ms late") = 0.0,
    stall: chance("it comes 1.5 s late") = 0.0,
    cut: chance("the connection ends") = 0.0,
    cut_every: Annotated[
        float, typer.Option(help="A connection ends after about so many seconds. 0: never.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed, the same faults.")] = 0,
) -> None:
    """Stand between a host and a device, and damage by a seed what passes, both ways.

    Prints the address that a host opens. One host at a time, until Ctrl-C; then tells how many
    bytes met which fault.

    Example: `ecedge proxy /dev/ttyACM0 --listen 127.0.0.1:5000 --drop 0.01 --cut 0.0001`, then
    `ecedge run POLICY --device socket://127.0.0.1:5000`
    """
    from ..devices import parse_device, run_board
    from ..link import Faults, Proxy

    chances = drop, flip, duplicate, reorder, truncate, delay, stall, cut
    faults = Faults(*chances, cut_every=cut_every)
    place = parse_listen(listen)
    spec = parse_device(device)
    with contextlib.ExitStack() as stack:
        port = spec.port or stack.enter_context(run_board(spec)).port
        line = stack.enter_context(Proxy(port, faults, seed, place, spec.baud))
        print(f"ecedge proxy on {line.url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            line.serve()
        met = ", ".join(f"{count} {kind}" for kind, count in line.counts.items())
        print(f"{line.hosts} hosts; bytes that met a fault: {met}", file=sys.stderr)


def parse_listen(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"([^:\s]+):(\d{1,5})", text)
    if not found or int(found.group(2)) > 65535:
        raise UsageError(f'"{text}" is no HOST:PORT.', "Say 127.0.0.1:5000.")
    return found.group(1), int(found.group(2))
