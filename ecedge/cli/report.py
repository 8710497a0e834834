"""`ecedge report`: what a policy needs on the boards, before anything is flashed."""

import json
import sys
from typing import Annotated

import typer

from .options import AsJson, PolicyFile

BoardNames = Annotated[
    list[str] | None,
    typer.Option("--board", "-b", help="A board, also several times. Default: all, in a table."),
]
Activity = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Part of the neurons that spike. Default: the policy's own, else 0.1."
    ),
]


def report(
    policy: PolicyFile,
    board: BoardNames = None,
    activity: Activity = None,
    as_json: AsJson = False,
) -> None:
    """Tell flash, RAM, stack, time and energy of a policy on boards, before you flash it.

    Sizes and stack are the compiler's. Steps are computed from what their parts cost in the
    board's emulator; seconds and joules are estimates, no board was measured; joules need a current
    from the maker's data sheet. A policy that does not fit a board is refused with the numbers, and
    with the largest network that would fit.

    Example: `ecedge report runs/CartPole-v1-seed0/policy.onnx --board pico`
    """
    from ..boards import board_names, find_board
    from ..boards.forecast import HEADER, USUAL_ACTIVITY, make_forecast
    from ..errors import DoesNotFit, ToolError
    from ..policy_file import load_policy

    loaded, info = load_policy(policy)
    boards = [find_board(name) for name in board or board_names()]
    if activity is None:
        activity = info.training.get("activity")
    if activity is None:
        activity = USUAL_ACTIVITY
        talk(f"The policy does not tell its activity: {activity:.0%} of the neurons is assumed.")
    rows, refused = [], []
    if not board and not as_json:
        print(HEADER)
    for one in boards:
        try:
            forecast = make_forecast(loaded, one, activity)
        except DoesNotFit as error:
            refused.append(error)
            talk(str(error))
            lacks = {"lacks": error.lacks, "neurons_that_fit": error.neurons}
            rows.append({"board": one.name, "fits": False} | lacks)
        except ToolError as error:
            if board:
                raise
            talk(f"{one.name} is left out: {error}")
        else:
            rows.append(forecast.row())
            if not as_json:
                print(forecast if board else forecast.line(), flush=True)
    if as_json:
        print(json.dumps(rows))
    if refused and (board or len(refused) == len(rows)):
        raise typer.Exit(DoesNotFit.exit_code)


def talk(sentence: str) -> None:
    print(f"ecedge: {sentence}", file=sys.stderr)
