"""docs/vectors/ on a device: networks, images to be refused, frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_bits import upload

from ecedge.errors import DeviceRefused
from ecedge.link import FrameReader, MessageType
from ecedge.link.messages import upload_begin_request, upload_data_request
from ecedge.model import Policy

VECTORS = Path(__file__).parent.parent / "docs" / "vectors"
LONGEST_WAIT = 3.0  # seconds for a reply; the first byte after a connect may be late


def cases(name: str) -> list[dict]:
    return json.loads((VECTORS / f"{name}.json").read_text())["cases"]


def named(name: str) -> list:
    return [pytest.param(case, id=case["name"]) for case in cases(name)]


CASES = {case["name"]: case for case in cases("networks")}


@pytest.mark.networks(
    {name: Policy.from_image(bytes.fromhex(case["image"])).spec for name, case in CASES.items()}
)
def test_network_gives_the_golden_outputs_and_digests(device, network):
    case = CASES[network]
    upload(device, Policy.from_image(bytes.fromhex(case["image"])))
    device.reset()
    for raw, output, digest in zip(case["raw"], case["output"], case["digest"], strict=True):
        reply = device.step(np.array(raw, np.int16))
        assert (reply.output.tolist(), reply.digest) == (output, digest)
    assert device.peek().hex() == case["last_state"]


@pytest.mark.parametrize("case", named("images"))
def test_image_is_taken_or_refused(device, case):
    image = bytes.fromhex(case["image"])
    if case["refused_by"] in ("all", "device") or len(image) > device.hello.max_image:
        with pytest.raises(DeviceRefused):
            send(device, image)
    else:
        send(device, image)


def send(device, image: bytes) -> None:
    """The image as it is, past everything that the host would check first."""
    device.request(MessageType.UPLOAD_BEGIN, upload_begin_request(len(image)))
    size = device.hello.max_payload - 4
    for offset in range(0, len(image), size):
        chunk = image[offset : offset + size]
        device.request(MessageType.UPLOAD_DATA, upload_data_request(offset, chunk))
    device.request(MessageType.UPLOAD_COMMIT)


FRAMES = cases("frames")


@pytest.mark.parametrize("case", named("frames"))
def test_frame_is_answered_or_dropped(device, case):
    """A frame that is dropped, also for its length, is followed by one that is not: its reply must
    be the first."""
    fits = len(case.get("payload", "")) // 2 <= device.hello.max_payload
    hello = FRAMES[0]
    asks = "dropped" not in case and case["type"] < 0x80 and fits
    expected = case if asks else hello
    device.connect()  # late replies to what was sent twice come before its own
    device.transport.write(bytes.fromhex("00" + case["line"]))
    if not asks:
        device.transport.write(bytes.fromhex("00" + hello["line"]))
    reader, replies = FrameReader(), []
    while not replies:
        data = device.transport.read(LONGEST_WAIT)
        assert data, "no reply"
        replies += reader.feed(data)
    device.connect()
    first = replies[0]
    assert (first.type, first.session, first.sequence) == (
        expected["type"] | 0x80,
        expected["session"],
        expected["sequence"],
    )
