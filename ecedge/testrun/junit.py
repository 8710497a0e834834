"""A test run as JUnit XML, which every CI reads: a suite a device, a case an episode."""

from __future__ import annotations

import os
import platform
import re
import xml.etree.ElementTree as ET

from ..storage import write_atomically
from .results import DeviceResult, Outcome, TestRun

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def save_junit(path: str | os.PathLike, run: TestRun) -> None:
    """A wrong result is a `failure`; an `error` stands at the episode that a device did not get
    through. What was not asked or not reached is `skipped`."""
    root = ET.Element("testsuites", name=f"ecedge hil {run.rig}")
    for device in run.devices:
        root.append(_suite(run, device))
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, f"{sum(int(suite.get(count)) for suite in root)}")
    root.set("time", f"{sum(device.seconds for device in run.devices):.3f}")
    ET.indent(root)
    write_atomically(path, ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _suite(run: TestRun, device: DeviceResult) -> ET.Element:
    cases = [_case(run, device, number) for number in range(run.plan.episodes)]
    suite = ET.Element(
        "testsuite",
        name=device.name,
        tests=f"{len(cases)}",
        failures=f"{sum(case.find('failure') is not None for case in cases)}",
        errors=f"{sum(case.find('error') is not None for case in cases)}",
        skipped=f"{sum(case.find('skipped') is not None for case in cases)}",
        time=f"{device.seconds:.3f}",
        timestamp=run.begun.isoformat(timespec="seconds"),
        hostname=platform.node() or "localhost",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _facts(run, device).items():
        ET.SubElement(properties, "property", name=name, value=_text(value))
    suite.extend(cases)
    return suite


def _facts(run: TestRun, device: DeviceResult) -> dict[str, str]:
    facts = {"task": run.task, "policy": run.policy_hash, "outcome": device.outcome}
    if hello := device.hello:
        version = ".".join(map(str, hello.firmware_version))
        facts |= {"board": hello.board, "chip_id": hello.chip_id, "firmware": version}
    return facts


def _case(run: TestRun, device: DeviceResult, number: int) -> ET.Element:
    done = device.episodes
    ended = done[number] if number < len(done) else None
    seconds = sum(step.latency for step in ended.steps) if ended else 0.0
    name = f"episode {number + 1}, seed {run.plan.seed + number}"
    case = ET.Element("testcase", classname=f"{run.task}.{device.name}", name=name)
    case.set("time", f"{seconds:.3f}")
    if device.outcome is Outcome.QUARANTINED:
        ET.SubElement(case, "skipped", message=_text(device.message))
    elif ended:
        if complaint := run.plan.complaint(ended):
            ET.SubElement(case, "failure", type=Outcome.WRONG, message=_text(complaint))
    elif number == len(done):
        last = device.attempts[-1]
        kind = "failure" if last.outcome is Outcome.WRONG else "error"
        ET.SubElement(case, kind, type=last.outcome, message=_text(last.message))
    else:
        ET.SubElement(case, "skipped", message="Not reached.")
    mended = [loss.message for at, loss in device.mended if at == number]
    if mended:
        told = "\n".join(f"Lost, and tried again: {message}" for message in mended)
        ET.SubElement(case, "system-out").text = _text(told)
    return case


def _text(text: str) -> str:
    """Without the letters that XML has no way to write."""
    return NOT_XML.sub("?", text)
