"""`ecedge devices`: which ports there are, and who answers on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import EcedgeError, UsageError
from .options import AsJson


def devices(
    ports: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ask at these alone: /dev/ttyACM0, COM3, socket://HOST:PORT; ?baud=N behind one "
            "sets its speed.",
            metavar="PORT",
        ),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Open every port and ask who answers.")
    ] = False,
    rig: Annotated[
        Path | None, typer.Option("--rig", help="Show the devices of this file: docs/RIG.md.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the serial ports of this machine, and say who answers on them.

    The list opens no port. Opening one **resets many boards** (an Arduino begins anew), so it is
    done only with --probe or for ports that are given. A port is asked for 9 seconds, all at once.
    Exit code 2 when a port that was given does not answer, or a device of the rig is not there.

    Example: `ecedge devices /dev/ttyACM0`
    """
    if rig and ports:
        raise UsageError("Ports and a rig cannot be shown together.", "Leave out one of them.")
    if rig:
        show_rig(rig, probe, as_json)
    else:
        show_ports(ports or [], probe, as_json)


def show_ports(ports: list[str], probe: bool, as_json: bool) -> None:
    from ..devices import DeviceSpec, parse_device, probe_all
    from ..link import Port, serial_ports

    specs = [parse_device(spec) for spec in dict.fromkeys(ports)]
    for spec in specs:
        if spec.board is not None:
            raise UsageError(
                f"{spec.board.name} is no port: it is started when it is used.",
                "Give a port such as /dev/ttyACM0 or socket://HOST:PORT.",
            )
    there = {port.name: port for port in serial_ports()}
    if not specs and probe:
        specs = [DeviceSpec(port=name) for name in there]
    answers = dict(zip((spec.port for spec in specs), probe_all(specs), strict=True))
    listed = [there.get(name, Port(name)) for name in answers] if specs else [*there.values()]
    if as_json:
        print(json.dumps([facts(port, answers.get(port.name)) for port in listed]))
    else:
        for port in listed:
            print(describe_port(port))
            if port.name in answers:
                print(f"    {describe_answer(answers[port.name])}")
        if not listed:
            print("No serial port found.")
    if ports and any(isinstance(answer, EcedgeError) for answer in answers.values()):
        raise typer.Exit(2)


def show_rig(path: Path, probe: bool, as_json: bool) -> None:
    from ..devices import read_rig

    rig = read_rig(path)
    found = [facts_of_device(rig, device, probe) for device in rig.devices]
    if as_json:
        print(json.dumps(found))
    else:
        for device in found:
            place = device["port"] or ("started when used" if device["emulate"] else "")
            print(f"{device['name']:16} {device['emulate'] or device['board']:24} {place}".rstrip())
            if device["answer"]:
                print(f"    {describe_hello(device['answer'])}")
            if device["problem"]:
                print(f"    {device['problem']}")
            elif not place:
                print("    Its chip id alone tells where it is: --probe asks at the ports.")
    if any(device["problem"] for device in found):
        raise typer.Exit(2)


def facts_of_device(rig, device, ask: bool) -> dict:
    """A device of the rig for scripts. `port` is null where it is not found, or not looked for."""
    from ..devices import locate, probe
    from ..link import serial_ports

    port = answer = problem = None
    looks = ask or not rig.ports_to_ask(device, serial_ports())
    if looks and not device.emulate:
        try:
            spec = locate(rig, device)
            port = spec.port
            if ask:
                hello = probe(spec.port, spec.baud)
                answer = facts_of_hello(hello)
                device.check(hello, port)
        except EcedgeError as error:
            problem = str(error)
    return {
        "name": device.name,
        "board": device.board or None,
        "emulate": device.emulate or None,
        "port": port,
        "answer": answer,
        "problem": problem,
    }


def facts(port, answer) -> dict:
    """A port for scripts. `answer` and `problem` are null where nobody was asked."""
    refused = isinstance(answer, EcedgeError)
    return {
        "port": port.name,
        "usb_id": port.usb_id,
        "usb_serial": port.usb_serial,
        "description": port.description,
        "answer": None if answer is None or refused else facts_of_hello(answer),
        "problem": str(answer) if refused else None,
    }


def facts_of_hello(hello) -> dict:
    return {
        "board": hello.board,
        "chip_id": hello.chip_id,
        "firmware_version": ".".join(map(str, hello.firmware_version)),
        "policy_hash": hello.policy_hash,
        "boot_count": hello.boot_count,
        "reset_cause": reset_cause(hello),
    }


def describe_port(port) -> str:
    usb = f"{port.usb_id} serial {port.usb_serial or 'none'}" if port.usb_id else ""
    return f"{port.name:24} {usb:40} {port.description}".rstrip()


def describe_answer(answer) -> str:
    if isinstance(answer, EcedgeError):
        return str(answer)
    return describe_hello(facts_of_hello(answer))


def describe_hello(told: dict) -> str:
    boots = f"boot {told['boot_count']}" if told["boot_count"] else "boots not counted"
    return (
        f"{told['board']}, chip {told['chip_id']}, firmware {told['firmware_version']}, "
        f"policy {told['policy_hash']}, {boots}, last reset: {told['reset_cause']}"
    )


def reset_cause(hello) -> str:
    """In words; a number where a newer device has a cause that we do not know."""
    cause = hello.reset_cause
    return cause.name.lower().replace("_", " ") if hasattr(cause, "name") else f"cause {cause}"
