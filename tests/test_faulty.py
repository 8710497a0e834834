"""Lines that fail on purpose, and a host that loses nothing by it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecedge import hil
from ecedge.cli.proxy import parse_listen
from ecedge.devices import connect_running, parse_device, run_board
from ecedge.errors import LineLost, NoDevice, UsageError
from ecedge.hil import run_episodes
from ecedge.link import Device, Faults, FaultyTransport, Proxy, open_transport
from ecedge.link import faulty as faulty_module
from ecedge.link.faulty import KINDS, FaultyStream
from ecedge.model import DISCRETE, NetworkSpec, ObservationMap, Policy
from ecedge.reference import with_golden_trace
from ecedge.tasks import find_task

DEADLINE = 10.0  # seconds, for whatever should take none
BYTES = bytes(range(256)) * 4


def damaged(stream: FaultyStream, data: bytes, size: int = 1 << 30) -> list[tuple[float, bytes]]:
    """What comes of data in pieces of that size, each connection's bytes as one."""
    events = []
    for begin in range(0, len(data), size):
        events += stream.damage(data[begin : begin + size])
    return events


def joined(events) -> bytes:
    return b"".join(b"|" if piece is None else piece for _, piece in events)


# -- a stream ------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.integers(1, 40), st.integers(0, 9))
def test_what_befalls_a_byte_does_not_depend_on_the_cutting(data, size, seed):
    faults = Faults(*[0.05] * 7)
    ways = [damaged(FaultyStream(faults, seed, "host"), data, n) for n in (1 << 30, size)]
    assert joined(ways[0]) == joined(ways[1])
    assert sum(pause for pause, _ in ways[0]) == pytest.approx(sum(pause for pause, _ in ways[1]))


def test_another_seed_or_direction_is_another_line():
    faults = Faults(drop=0.3)
    lines = {
        joined(FaultyStream(faults, seed, direction).damage(BYTES))
        for seed in range(5)
        for direction in ("host", "device")
    }
    assert len(lines) == 10


def test_a_line_without_faults_changes_nothing():
    assert damaged(FaultyStream(Faults(), 1, "host"), BYTES) == [(0.0, BYTES)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("drop", b""),
        ("duplicate", b"aabb\0\0ccdd"),
        ("reorder", b"ba" + b"c\0"),  # d waits
        ("truncate", b""),
        ("delay", b"ab\0cd"),
        ("stall", b"ab\0cd"),
        ("cut", b"|"),
    ],
)
def test_a_fault_is_what_its_name_says(kind, expected):
    stream = FaultyStream(Faults(**{kind: 1.0}), 1, "host")
    assert joined(stream.damage(b"ab\0cd")) == expected
    assert stream.counts[kind] == (1 if kind == "cut" else 5)


def test_a_flipped_byte_differs_in_one_bit():
    flipped = joined(FaultyStream(Faults(flip=1.0), 1, "host").damage(BYTES))
    bits = [(a ^ b).bit_count() for a, b in zip(BYTES, flipped, strict=True)]
    assert bits == [1] * len(BYTES)
    assert len({a ^ b for a, b in zip(BYTES, flipped, strict=True)}) == 8


def test_a_truncated_frame_takes_its_zero_along_and_no_more():
    faults = Faults(truncate=0.2)
    seen = {joined(FaultyStream(faults, s, "host").damage(b"abc\0def\0")) for s in range(300)}
    assert {b"abc\0def\0", b"adef\0", b"abdef\0", b"def\0", b"abc\0d"} <= seen


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cut"])
def test_faults_are_as_frequent_as_they_should_be(kind):
    stream = FaultyStream(Faults(**{kind: 0.01}), 3, "host")
    damaged(stream, BYTES * 100)
    assert 850 < stream.counts[kind] < 1200  # of 102,400 bytes
    assert sum(stream.counts.values()) == stream.counts[kind]


@pytest.mark.parametrize(
    "wrong",
    [{"drop": -0.1}, {"flip": 1.1}, {"drop": 0.6, "flip": 0.6}, {"cut": float("nan")},
     {"stall_s": 61.0}, {"delay_s": -1.0}, {"cut_every": -1.0}, {"cut_every": float("nan")}],
    ids=str,
)  # fmt: skip
def test_impossible_faults_are_refused(wrong):
    with pytest.raises(UsageError):
        Faults(**wrong)


# -- a transport ---------------------------------------------------------------------------------


class MemoryLine:
    """What is written comes back; waiting costs no time."""

    name, baud = "memory", 9600

    def __init__(self):
        self.now = 0.0
        self.bytes = b""
        self.reopened = 0
        self.closed = False

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def read(self, timeout: float) -> bytes:
        data, self.bytes = self.bytes, b""
        self.now += 0.0 if data else timeout
        return data

    def write(self, data: bytes) -> None:
        self.bytes += data

    def reopen(self, timeout: float) -> None:
        self.reopened += 1
        self.closed = False

    def close(self) -> None:
        self.closed = True


def faulty(line: MemoryLine, **faults) -> FaultyTransport:
    return FaultyTransport(line, Faults(**faults), 1, line.clock, line.sleep)


def test_a_faulty_transport_is_its_line_s_with_the_same_name_and_speed():
    line = MemoryLine()
    transport = faulty(line)
    transport.write(b"abc")
    assert transport.read(1.0) == b"abc"
    assert transport.read(1.0) == b""
    assert (line.now, transport.name, transport.baud) == (1.0, "memory", 9600)


def test_a_stalled_read_still_ends_at_its_timeout():
    line = MemoryLine()
    transport = faulty(line, stall=1.0, stall_s=5.0)
    line.bytes = b"a"
    assert transport.read(2.0) == b""
    assert line.now == pytest.approx(2.0)
    assert transport.read(10.0) == b"a"
    assert line.now == pytest.approx(5.0)


def test_a_cut_closes_the_line_and_can_be_mended():
    line = MemoryLine()
    transport = faulty(line, cut=1.0)
    with pytest.raises(LineLost, match="cut on purpose"):
        transport.write(b"a")
    assert line.closed and line.bytes == b""
    transport.reopen(1.0)
    line.bytes = b"a"
    with pytest.raises(LineLost):
        transport.read(1.0)
    assert line.reopened == 1


def test_a_line_lives_as_long_as_its_cuts_are_apart():
    line = MemoryLine()
    transport = faulty(line, cut_every=10.0)
    lives = []
    for _ in range(50):
        begun = line.now
        with pytest.raises(LineLost, match="cut on purpose"):
            while True:
                transport.read(1.0)
        with pytest.raises(LineLost):
            transport.write(b"a")
        lives.append(line.now - begun)
        transport.reopen(1.0)
    assert 5.0 <= min(lives) < max(lives) <= 15.0
    assert 8.0 < sum(lives) / 50 < 12.0


# -- a device ------------------------------------------------------------------------------------

EPISODES = 3
KINDS_OF_LINE = {
    "flipped": Faults(flip=0.01),
    "lost": Faults(drop=0.01),
    "cut": Faults(cut=0.002),
    "cut by the clock": Faults(cut_every=0.02),
    "all": Faults(
        0.01, 0.01, 0.002, 0.002, 0.001, 0.002, 0.0002, 0.0005, delay_s=0.005, stall_s=0.2
    ),
}


@pytest.fixture(autouse=True)
def patient_devices(monkeypatch):
    """What comes through is tested here, not how soon: cuts and stalls may meet in one step."""
    monkeypatch.setattr(hil, "SILENCE_MS", 20_000)


@pytest.fixture(scope="module")
def policy() -> Policy:
    spec = NetworkSpec(4, 2, 32, substeps=4, actions=DISCRETE)
    plain = ObservationMap([0] * 4, [64] * 4, [4] * 4, [8] * 4)
    words = np.random.default_rng(5).integers(0, 2**32, spec.n_words, np.uint32)
    return with_golden_trace(Policy(spec, plain, words), 4)


@pytest.fixture(scope="module")
def running():
    """A virtual device without a policy."""
    with run_board(parse_device("virtual")) as running:
        yield running


def episodes(device: Device, policy: Policy):
    """Returns, lengths, differing bits."""
    device.upload(policy)
    ran = list(run_episodes(device, policy, find_task("CartPole-v1"), EPISODES, seed=3))
    return [(e.total, len(e.steps), e.differing_bits) for e in ran]


@pytest.fixture(scope="module")
def clean(running, policy):
    with Device(connect_running(running)) as device:
        results = episodes(device, policy)
    assert all(bits == 0 for *_, bits in results)
    assert sum(steps for _, steps, _ in results) > 50
    return results


@pytest.mark.parametrize("kind", KINDS_OF_LINE)
def test_episodes_on_a_bad_line_are_those_of_a_good_one(running, policy, clean, kind):
    faults = KINDS_OF_LINE[kind]
    line = FaultyTransport(connect_running(running), faults, seed=2)
    with Device(line) as device:
        assert episodes(device, policy) == clean
        steps = device.status().steps
    assert steps == sum(length for _, length, _ in clean), "every step took effect once"
    for fault in KINDS:
        met = line.out.counts[fault] + line.back.counts[fault]
        assert met > 0 or getattr(faults, fault) < 0.001, fault
    assert device.statistics.resends > 0
    assert device.statistics.reopened > 0 or not (faults.cut or faults.cut_every)


@contextlib.contextmanager
def serving(proxy: Proxy):
    """A proxy at work, that is gone afterwards."""
    with proxy:
        thread = threading.Thread(target=proxy.serve)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.stop()
            thread.join(DEADLINE)
            assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["cut", "cut by the clock", "all"])
def test_episodes_through_a_bad_proxy_are_those_of_a_good_line(running, policy, clean, kind):
    with serving(Proxy(running.port, KINDS_OF_LINE[kind], seed=2)) as proxy:
        with Device(open_transport(proxy.url)) as device:
            assert episodes(device, policy) == clean
            assert device.status().steps == sum(length for _, length, _ in clean)
        assert proxy.counts["cut"] > 0 or not KINDS_OF_LINE[kind].cut
        assert proxy.hosts > 1


def test_a_cut_reaches_the_host_before_the_device_is_closed(monkeypatch):
    """pyserial takes 0.3 s to close a socket, and drivers of ports may take longer."""
    told = threading.Event()

    class Slow(MemoryLine):
        def close(self) -> None:
            told.wait(DEADLINE)

    lines = [MemoryLine(), Slow()]  # a proxy tries the port first
    monkeypatch.setattr(faulty_module, "open_transport", lambda *_: lines.pop(0))
    with serving(Proxy("memory", Faults(cut=1.0))) as proxy:
        address = proxy.url.removeprefix("socket://").split(":")
        with socket.create_connection(address, DEADLINE / 2) as host:
            host.sendall(b"a")
            assert host.recv(1) == b""
            told.set()


def test_a_proxy_without_faults_is_a_line(running, policy, clean):
    with serving(Proxy(running.port, Faults())) as proxy:
        for _ in range(2):
            with Device(open_transport(proxy.url)) as device:
                assert episodes(device, policy) == clean
                assert device.statistics.reopened == 0
        assert proxy.hosts == 2


def test_a_proxy_to_nobody_is_no_device():
    with pytest.raises(NoDevice):
        Proxy("socket://127.0.0.1:1", Faults())


def test_two_proxies_cannot_listen_on_one_port(running):
    with Proxy(running.port, Faults()) as proxy:
        port = int(proxy.url.rpartition(":")[2])
        with pytest.raises(UsageError, match="listen"):
            Proxy(running.port, Faults(), listen=("127.0.0.1", port))


def test_a_device_that_is_gone_for_good_is_one_clear_error():
    with run_board(parse_device("virtual")) as running:
        with pytest.raises(LineLost, match=r"within 3 s\. Cannot open"):
            with Device(connect_running(running)) as device:
                running.stop()
                begin = time.monotonic()
                device.status()
        assert 2.9 < time.monotonic() - begin < DEADLINE


def test_a_closed_device_does_not_open_its_line_again(running):
    with Device(connect_running(running)) as device:
        device.status()
    with pytest.raises(LineLost):
        device.status()
    assert device.statistics.reopened == 0


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_an_upload_finds_the_size_that_comes_through(running, policy, seed):
    line = connect_running(running)
    with Device(line) as device:
        seen = []
        device.transport = FaultyTransport(line, Faults(drop=0.004), seed)
        device.upload(policy, progress=lambda done, total: seen.append(done))
        assert seen == sorted(set(seen)) and seen[-1] == len(policy.image)
        device.transport = line
        assert device.connect().policy_hash == policy.hash


# -- ecedge proxy --------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[1]


def test_the_verb_stands_between_host_and_device_until_it_is_interrupted(running, policy, clean):
    words = ["proxy", running.port, "--drop", "0.002", "--cut", "0.0005", "--seed", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ecedge", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        url = re.fullmatch(r"ecedge proxy on (\S+)\n", process.stdout.readline())[1]
        with Device(open_transport(url)) as device:
            assert episodes(device, policy) == clean
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, words
    assert re.search(r"[1-9]\d* hosts; bytes that met a fault: [1-9]\d* drop, 0 flip, ", words)
    assert "Traceback" not in words


@pytest.mark.parametrize("text", ["5000", "here", "127.0.0.1:x", "127.0.0.1:70000", ""])
def test_a_place_to_listen_is_a_host_and_a_port(text):
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_listen(text)
