"""`ecedge` as its user meets it: an exit code, stdout and stderr."""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from ecedge import reference
from ecedge.boards import board_names
from ecedge.cli import main
from ecedge.devices import DeviceSpec, connect_running, parse_device, probe_all, run_board
from ecedge.errors import NoDevice
from ecedge.link import Device, Port
from ecedge.link.codec import REPLY_BIT, FrameReader, Packet, encode_frame
from ecedge.link.messages import (
    DeviceMode,
    ErrorCode,
    Hello,
    MessageType,
    PolicySource,
    ResetCause,
    pack_refusal,
)
from ecedge.model import DISCRETE, NetworkSpec, ObservationMap, Policy
from ecedge.policy_file import PolicyInfo, load_policy, save_policy
from ecedge.version import VERSION

ROOT = Path(__file__).parent.parent
DEADLINE = 60.0  # seconds for anything that a process does here
VERBS = [
    *"train export build report run hil replay watch plot compare proxy boards devices".split(),
    *"doctor demo".split(),
]

needs_qemu = pytest.mark.skipif(
    not shutil.which("qemu-system-arm"), reason="apt-get install qemu-system-arm"
)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty folder to be in."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def start(*words, cwd=None) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "ecedge", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"},
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    """(exit code, stdout, stderr); the process never outlives the test."""
    try:
        out, err = process.communicate(timeout=DEADLINE)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err


def ecedge(*words) -> tuple[int, str, str]:
    """The same within this process, for all that neither signals nor waits."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["ecedge", *map(str, words)])
        patch.setenv("COLUMNS", "100")
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue(), err.getvalue()


def results_of(*words) -> str:
    """stdout of a call that goes well."""
    code, out, err = ecedge(*words)
    assert code == 0, err
    return out


def assert_misuse(answer: tuple[int, str, str], complaint: str) -> None:
    """Exit code 2, and one line for a person: what is wrong, then what to try."""
    code, out, err = answer
    assert (code, out) == (2, ""), err
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("ecedge: ")
    assert complaint in lines[0]


def policy_of(n_neurons=32, n_act=2) -> Policy:
    spec = NetworkSpec(4, n_act, n_neurons, substeps=4, actions=DISCRETE)
    random = np.random.default_rng(1)
    words = random.integers(0, 1 << 32, spec.n_words, dtype=np.uint32)
    unit = ObservationMap.from_statistics(np.zeros(4), np.ones(4), 40.0)
    return reference.with_golden_trace(Policy(spec, unit, words), steps=2)


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    """A policy for CartPole that knows nothing."""
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    save_policy(path, policy_of(), PolicyInfo("CartPole-v1"))
    return path


# --- help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(place, verb):
    out = results_of(verb, "--help")
    assert f"{verb} [OPTIONS]" in out
    assert list(place.iterdir()) == []


def test_help_lists_every_verb():
    out = results_of("--help")
    assert [verb for verb in VERBS if f" {verb} " not in out] == []


def test_version_is_the_packages():
    assert results_of("--version") == f"ecedge {VERSION}\n"


def test_no_verb_shows_the_help():
    code, out, err = ecedge()
    assert code == 2
    assert "Usage" in out + err and "doctor" in out + err


@pytest.mark.parametrize(
    "words",
    [["fly"], ["train", "--fly"], ["train", "CartPole-v1", "--population", "many"], ["run"]],
    ids=" ".join,
)
def test_a_command_line_that_does_not_parse_names_the_help(place, words):
    code, out, err = ecedge(*words)
    assert (code, out) == (2, "")
    assert " for help." in err and "Traceback" not in err
    assert list(place.iterdir()) == []


# --- misuse ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["train"], "Name a task"),
        (["train", "CartPoll-v1"], "Did you mean CartPole-v1"),
        (["train", "nomodule:Own-v0"], "nomodule:Own-v0 cannot be loaded"),
        (["train", "Blackjack-v1"], "observations of Tuple"),
        (["train", "CartPole-v1", "--resume", "x"], "not both"),
        (["train", "--resume", "x"], "There is no checkpoint x/checkpoint.npz"),
        (["train", "CartPole-v1", "--neurons", "33"], "multiple of 32"),
        (["train", "CartPole-v1", "--population", "1"], "2 to 16000 members, not 1"),
        (["train", "CartPole-v1", "--seed", "-1"], "A seed is a number from 0"),
        (["train", "CartPole-v1", "--generations", "0"], "generations is 0"),
        (["train", "CartPole-v1", "--steps", "many"], "A run of many steps cannot be done"),
        (["train", "CartPole-v1", "--learning-rate", "2"], "learning rate is 2"),
        (["train", "CartPole-v1", "--step", "jump"], "plain, momentum, adam, scaled, sign"),
        (["train", "CartPole-v1", "--rho-bits", "4"], "16 or 8 bits"),
        (["train", "CartPole-v1", "--form", "odd"], "ei, signed"),
        (["train", "CartPole-v1", "--out", "/dev/null/run"], "Cannot make the folder"),
        (["run", "nothing.onnx"], "There is no file nothing.onnx"),
        (["run", "."], "is a folder"),
        (["export", "nothing.onnx"], "There is no file nothing.onnx"),
        (["build", "nothing.onnx"], "There is no file nothing.onnx"),
        (["demo", "--seed", "-1"], "A seed is a number from 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misuse_is_one_sentence_and_writes_nothing(place, words, complaint):
    assert_misuse(ecedge(*words), complaint)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    "words, complaint",
    [
        (
            ["--device", "toaster"],
            f'There is no device "toaster". Boards: {", ".join(board_names())};',
        ),
        (["--device", "virtual?speed=9"], "an option that is not baud=N"),
        (["--device", "mps2-an386?baud=9600"], "a socket without a speed"),
        (["--device", "/dev/ttyNONE9"], "Cannot open /dev/ttyNONE9: no such file"),
        (["--device", "/dev/null"], "it is not a serial port"),
        (["--device", "socket://127.0.0.1:1"], "connection refused"),
        (["--device", "socket://127.0.0.1"], "Say socket://HOST:PORT."),
        (["--episodes", "0"], "0 episodes cannot be run"),
        (["--seed", "-1"], "A seed is a number from 0"),
        (["--deadline-ms", "0"], "A deadline of 0 ms"),
        (["--task", "Pendulum-v1"], "it does not fit Pendulum-v1"),
        (["--task", "NoTask-v1"], "There is no task NoTask-v1"),
        (["--period-ms", "5"], "are of device-clocked runs. Add --clocked."),
        (["--clocked", "--deadline-ms", "5"], "Its deadline is --period-ms."),
        (["--clocked", "--plant", "tank"], "Known plants: cart-pole, noise;"),
        (["--clocked", "--plant", "tank.c"], "There is no file tank.c"),
        (["--clocked", "--plant", "cart-pole", "--device", "/dev/ttyS9"], "has its firmware"),
        (["--clocked", "--period-ms", "-1"], "A period of -1 ms"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misuse_of_run_is_one_sentence_and_writes_nothing(place, policy, words, complaint):
    assert_misuse(ecedge("run", policy, *words), complaint)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("verb", ["export", "build"])
def test_an_unknown_board_is_told_the_known_ones(place, policy, verb):
    assert_misuse(
        ecedge(verb, policy, "--board", "toaster"),
        f'There is no board "toaster". Known boards: {", ".join(board_names())}.',
    )
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("verb", ["export", "build"])
def test_an_unknown_plant_is_told_the_known_ones(place, policy, verb):
    assert_misuse(ecedge(verb, policy, "--plant", "tank"), "Known plants: cart-pole, noise;")
    assert list(place.iterdir()) == []


def test_a_clocked_run_is_the_twins(policy):
    out = results_of("run", policy, "--clocked", "--period-ms", 0, "--episodes", 2, "--json")
    summary = json.loads(out)
    assert (summary["plant"], summary["differing"]) == ("cart-pole", 0)
    assert len(summary["returns"]) == 2 and summary["steps"] == sum(summary["returns"])


@pytest.mark.parametrize("verb", ["export", "build"])
def test_a_folder_that_is_not_ours_is_left_alone(place, policy, verb):
    folder = place / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    assert_misuse(ecedge(verb, policy, "--out", folder), "was not made by ecedge")
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_run_does_not_need_its_task_file_again(place):
    declared = place / "swing.toml"
    declared.write_text('id = "Pendulum-v1"\n[vary]\naction_delay = { steps = [0, 2] }\n')
    small = ["--population", 8, "--neurons", 32, "--generations", 1, "--evaluation-episodes", 1]
    results_of("train", "swing.toml", *small)
    declared.unlink()
    results_of("train", "--resume", "runs/swing-seed0", "--generations", 2)
    log = (place / "runs/swing-seed0/log.jsonl").read_text().splitlines()
    assert [json.loads(entry)["varied"] is None for entry in log] == [False, False]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_holds_a_run_is_not_begun_anew(place):
    run = ["--population", 8, "--neurons", 32, "--generations", 1, "--evaluation-episodes", 1]
    results_of("train", "CartPole-v1", *run, "--out", "run")
    before = contents(place / "run")
    assert_misuse(
        ecedge("train", "CartPole-v1", *run, "--out", "run"),
        "run already holds a run. Go on with it: ecedge train --resume run, or choose another",
    )
    assert contents(place / "run") == before


@pytest.mark.parametrize("verb", ["run", "export", "build"])
@pytest.mark.parametrize("kind", ["cut short", "garbage", "foreign", "damaged"])
def test_a_policy_file_that_is_none_is_one_sentence(place, policy, verb, kind):
    whole = policy.read_bytes()
    foreign = onnx.helper.make_model(onnx.helper.make_graph([], "theirs", [], []))
    data, complaint = {
        "cut short": (whole[:-40], "bad.onnx is not an ONNX file, or it is cut short"),
        "garbage": (b"\x7fELF" + bytes(range(256)), "bad.onnx is not an ONNX file"),
        "foreign": (foreign.SerializeToString(), "bad.onnx has no ecedge metadata"),
        "damaged": (whole.replace(b'"n_exc":16', b'"n_exc":17'), "bad.onnx is damaged"),
    }[kind]
    assert data != whole
    (place / "bad.onnx").write_bytes(data)
    assert_misuse(ecedge(verb, "bad.onnx"), complaint)
    assert [path.name for path in place.iterdir()] == ["bad.onnx"]


# --- what may answer at a port --------------------------------------------------------------


class Server:
    """A socket on which `answer(bytes) -> bytes` replies; `begin` is sent to who connects."""

    def __init__(self, answer: Callable[[bytes], bytes], begin: bytes = b"", chatter: bytes = b""):
        self.answer, self.begin, self.chatter = answer, begin, chatter
        self.over = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.1)
        self.url = f"socket://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(DEADLINE)
        self.socket.close()
        assert not self.thread.is_alive()

    def serve(self) -> None:
        while not self.over.is_set():
            with contextlib.suppress(TimeoutError):
                line, _ = self.socket.accept()
                with line, contextlib.suppress(OSError):
                    line.settimeout(0.05)
                    line.sendall(self.begin)
                    self.talk(line)

    def talk(self, line: socket.socket) -> None:
        while not self.over.is_set():
            line.sendall(self.chatter)
            with contextlib.suppress(TimeoutError):
                data = line.recv(4096)
                if not data:
                    return
                line.sendall(self.answer(data))


def fake_device(hello: Hello) -> Callable[[bytes], bytes]:
    """Speaks docs/LINK.md, says who it is, and refuses all else."""
    reader = FrameReader()

    def answer(data: bytes) -> bytes:
        replies = b""
        for request in reader.feed(data):
            known = request.type == MessageType.HELLO
            payload = hello.pack() if known else pack_refusal(ErrorCode.TYPE)
            kind = request.type | REPLY_BIT
            replies += encode_frame(Packet(kind, request.session, request.sequence, payload))
        return replies

    return answer


def hello_of(**facts) -> Hello:
    usual = {
        "mode": DeviceMode.IDLE, "max_payload": 512, "firmware_version": (0, 1, 0),
        "boot_count": 1, "reset_cause": ResetCause.POWER_ON, "policy_source": PolicySource.NONE,
        "n_obs": 0, "n_act": 0, "n_neurons": 0, "policy_hash": "00" * 8, "tick_hz": 1000,
        "max_image": 65536, "max_obs": 128, "max_act": 32, "max_neurons": 512, "board": "fake",
    }  # fmt: skip
    return Hello(**usual | facts)


STRANGERS = {
    "echo": (lambda data: data, b"", b""),
    "greeter": (lambda data: b"500 unknown command\r\n", b"220 mail.example ready\r\n", b""),
    "chatterer": (lambda data: b"", b"", b"$GPGGA,123519,4807.038,N,01131.000,E\r\n"),
    "zeros": (lambda data: bytes(len(data)), b"", b""),
    "silent": (lambda data: b"", b"", b""),
}


@pytest.fixture(scope="module", autouse=True)
def calls(policy) -> Iterator[dict[str, tuple[str, subprocess.Popen]]]:
    """`ecedge run` with each stranger. Each takes the host's whole patience: all begin at once, and
    while other tests run."""
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(Server(*how)) for name, how in STRANGERS.items()}
        begun = {}
        for name, server in servers.items():
            begun[name] = server.url, start("run", policy, "--device", server.url)
            stack.callback(begun[name][1].communicate)
            stack.callback(begun[name][1].kill)
        yield begun


@pytest.mark.parametrize(
    "versions, named",
    [
        ({"link_version": 2}, "link version 2 and image version 1"),
        ({"image_version": 7}, "link version 1 and image version 7"),
    ],
)
def test_a_device_of_another_version_is_told_apart(policy, versions, named):
    with Server(fake_device(hello_of(**versions))) as server:
        answer = ecedge("run", policy, "--device", server.url)
    assert_misuse(answer, f"The device speaks {named}; this ecedge speaks 1 and 1.")


def test_a_policy_too_large_for_a_device_is_refused_with_the_numbers(policy):
    with Server(fake_device(hello_of(max_neurons=16, max_obs=3))) as server:
        code, out, err = ecedge("run", policy, "--device", server.url)
    assert (code, out) == (2, "")
    assert err.splitlines()[1:] == [
        "ecedge: The policy does not fit fake: it needs 4 observations (it has 3), "
        "32 neurons (it has 16). "
        "Use a smaller network, or build the firmware with a larger capacity."
    ]


@needs_qemu
def test_a_policy_too_large_for_an_emulated_board_is_refused_with_the_numbers(place):
    save_policy("large.onnx", policy_of(n_neurons=544), PolicyInfo("CartPole-v1"))
    code, out, err = ecedge("run", "large.onnx", "--device", "mps2-an386")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        "ecedge: The policy does not fit mps2-an386: it needs 544 neurons (it has 512). "
        "Use a smaller network, or build the firmware with a larger capacity."
    )


def test_a_device_that_refuses_the_policy_is_the_worlds_failure(policy):
    with Server(fake_device(hello_of())) as server:
        code, out, err = ecedge("run", policy, "--device", server.url)
    assert (code, out) == (1, "")
    assert "ecedge: The device does not know the request" in err
    assert "Traceback" not in err


# --- what a policy needs --------------------------------------------------------------------


# --- ports, and who answers on them ---------------------------------------------------------

BOARD = {"name": "/dev/ttyACM7", "usb_id": "2341:0043", "usb_serial": "5573", "description": "Uno"}


def plug_in(monkeypatch, *ports: Port) -> None:
    for module in ("link", "devices"):
        monkeypatch.setattr(f"ecedge.{module}.serial_ports", lambda: list(ports))


def test_devices_lists_ports_and_opens_none(monkeypatch):
    plug_in(monkeypatch, Port(**BOARD), Port("/dev/ttyS0"))
    monkeypatch.setattr("ecedge.devices.open_transport", lambda *_: pytest.fail("opened"))
    first, second = results_of("devices").splitlines()
    assert first.split() == ["/dev/ttyACM7", "2341:0043", "serial", "5573", "Uno"]
    assert second == "/dev/ttyS0"
    nobody_asked = {"answer": None, "problem": None}
    expected = {"port": "/dev/ttyACM7", **BOARD, **nobody_asked}
    del expected["name"]
    assert json.loads(results_of("devices", "--json"))[0] == expected


def test_devices_without_ports_says_so(monkeypatch):
    plug_in(monkeypatch)
    assert results_of("devices", "--probe") == "No serial port found.\n"
    assert json.loads(results_of("devices", "--json")) == []


def test_devices_tells_who_answers():
    chip = bytes(range(16)).hex()
    with Server(fake_device(hello_of(chip_id=chip, boot_count=3))) as server:
        out = results_of("devices", server.url)
        told = json.loads(results_of("devices", server.url, "--json"))
    assert out.splitlines() == [
        server.url,
        f"    fake, chip {chip}, firmware 0.1.0, policy {'00' * 8}, boot 3, last reset: power on",
    ]
    assert told[0]["problem"] is None
    assert told[0]["answer"] == {
        "board": "fake", "chip_id": chip, "firmware_version": "0.1.0", "policy_hash": "00" * 8,
        "boot_count": 3, "reset_cause": "power on",
    }  # fmt: skip


def test_devices_tells_a_reset_cause_that_it_does_not_know():
    with Server(fake_device(hello_of(reset_cause=77, boot_count=0))) as server:
        assert "boots not counted, last reset: cause 77" in results_of("devices", server.url)


def test_devices_asks_all_at_once_and_has_a_line_for_each():
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(Server(*how)) for name, how in STRANGERS.items()}
        servers["device"] = stack.enter_context(Server(fake_device(hello_of())))
        urls = [server.url for server in servers.values()]
        begun = time.monotonic()
        code, out, _ = ecedge("devices", *urls, urls[0], "/dev/null", "socket://127.0.0.1:1")
        assert time.monotonic() - begun < 2 * 9  # HELLO's patience is 3 tries of 3 s
    lines = out.splitlines()
    asked = [*urls, "/dev/null", "socket://127.0.0.1:1"]  # none of them twice
    answers = dict(zip(asked, lines[1::2], strict=True))
    assert code == 2
    assert lines[::2] == asked
    assert answers[servers["device"].url].startswith("    fake, chip ")
    assert "Nothing answers on" in answers[servers["silent"].url]
    for name in ("echo", "greeter", "chatterer", "zeros"):
        assert "but no frame of an ecedge device" in answers[servers[name].url]
    assert "it is not a serial port" in answers["/dev/null"]
    assert "connection refused" in answers["socket://127.0.0.1:1"]


def test_devices_probes_what_is_there_and_does_not_disturb_it(monkeypatch):
    with run_board(parse_device("virtual-pty")) as running:
        plug_in(monkeypatch, Port(running.port))
        with contextlib.closing(connect_running(running)) as line:
            device = Device(line)
            device.connect()
            assert "another program has it open" in results_of("devices", "--probe")
            device.upload(policy_of())
            device.reset(silence_ms=60000)
        assert "    virtual, chip " in results_of("devices", "--probe")
        with contextlib.closing(connect_running(running)) as line:
            assert Device(line).connect().mode == DeviceMode.RUN


def test_a_port_that_does_not_open_in_time_is_left(monkeypatch):
    over = threading.Event()

    def open_for_ever(port, baud):
        over.wait(DEADLINE)
        raise NoDevice("too late")

    monkeypatch.setattr("ecedge.devices.open_transport", open_for_ever)
    answers = probe_all([DeviceSpec(port="/dev/stuck")], deadline=0.1)
    over.set()
    assert [str(answer) for answer in answers] == [
        "/dev/stuck took more than 0.1 s to open. Unplug it."
    ]


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["virtual"], "virtual is no port: it is started when it is used."),
        (["toaster"], 'There is no device "toaster".'),
        (["/dev/ttyACM0?speed=9"], "an option that is not baud=N"),
    ],
)
def test_misuse_of_devices_is_one_sentence(place, words, complaint):
    assert_misuse(ecedge("devices", *words), complaint)


# --- what the verbs tell --------------------------------------------------------------------


def test_report_tells_what_a_policy_needs_and_what_it_assumes(place, policy):
    code, out, err = ecedge("report", policy, "--board", "mps2-an386")
    assert code == 0
    assert err == "ecedge: The policy does not tell its activity: 10% of the neurons is assumed.\n"
    assert "3 of 32 neurons spike (10%)" in out
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert {"flash", "RAM", "stack", "step", "ESTIMATE", "energy", "kernels"} <= set(lines)
    assert list(place.iterdir()) == []


def test_report_takes_the_activity_that_training_saw(place):
    save_policy("own.onnx", policy_of(), PolicyInfo("CartPole-v1", training={"activity": 0.25}))
    code, out, err = ecedge("report", "own.onnx", "--board", "mps2-an386")
    assert (code, err) == (0, "")
    assert "8 of 32 neurons spike (25%)" in out


def test_report_for_scripts(policy):
    (row,) = json.loads(results_of("report", policy, "--board", "mps2-an386", "--json"))
    assert row["fits"]
    assert row["text"] + row["data"] == row["flash"] < row["flash_of"]
    assert row["stack_worst"] < row["stack_of"] < row["ram"] < row["ram_of"]
    assert row["typical"] < row["worst"]
    assert row["typical"] < row["portable"]
    assert row["estimated_worst_s"] == pytest.approx(row["worst"] / row["clock_hz"])
    assert row["estimated_rate_hz"] == pytest.approx(1 / row["estimated_worst_s"])


def test_report_estimates_energy_where_a_data_sheet_tells_the_current(policy):
    words = "report", policy, "--board", "netduinoplus2", "--board", "mps2-an386"
    known, unknown = json.loads(results_of(*words, "--json"))
    watts = known["power"]["active_ma"] / 1e3 * known["power"]["volts"]
    assert known["power"]["clock_hz"] == known["clock_hz"]
    assert known["estimated_typical_j"] == pytest.approx(watts * known["estimated_typical_s"])
    assert known["estimated_worst_j"] == pytest.approx(watts * known["estimated_worst_s"])
    nothing = {"power", "estimated_typical_j", "estimated_worst_j"}
    assert {unknown[key] for key in nothing} == {None}
    lines = [line.strip() for line in results_of(*words).splitlines()]
    energies = [number for number, line in enumerate(lines) if line.startswith("energy ")]
    assert ["ESTIMATE" in lines[n] for n in energies] == [True, False]
    assert lines[energies[0] + 1].startswith(f"({known['power']['source']}); core active")
    assert "unknown" in lines[energies[1]]


def test_report_counts_more_where_more_neurons_spike(policy):
    words = "report", policy, "--board", "mps2-an386", "--json", "--activity"
    few, more = (json.loads(results_of(*words, activity))[0] for activity in (0.1, 0.5))
    assert few["typical"] < more["typical"] <= more["worst"] == few["worst"]


def test_report_refuses_what_does_not_fit_with_the_nearest_that_does(place):
    save_policy("large.onnx", policy_of(n_neurons=544), PolicyInfo("CartPole-v1"))
    code, out, err = ecedge("report", "large.onnx", "--board", "stm32vldiscovery", "--json")
    (row,) = json.loads(out)
    assert (code, row["fits"]) == (2, False)
    assert f"A network of {row['neurons_that_fit']} neurons fits" in err
    save_policy("small.onnx", policy_of(row["neurons_that_fit"]), PolicyInfo("CartPole-v1"))
    (row,) = json.loads(results_of("report", "small.onnx", "--board", row["board"], "--json"))
    assert row["fits"]


# --- results --------------------------------------------------------------------------------


def test_boards_lists_every_board(place):
    listed = json.loads(results_of("boards", "--json"))
    assert [board["name"] for board in listed] == board_names()
    assert all(
        set(board) >= {"title", "core", "flash_kb", "ram_kb", "emulator"} for board in listed
    )
    assert [line.split()[0] for line in results_of("boards").splitlines()] == board_names()


def test_doctor_finds_nothing_that_is_needed_missing():
    findings = json.loads(results_of("doctor", "--json"))
    found = {finding["name"]: finding for finding in findings}
    assert "bit-equal to the reference" in found["engine"]["found"]
    assert not [finding for finding in findings if finding["required"] and finding["remedy"]]


def test_doctor_tells_what_is_missing_and_the_command_that_gets_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    code, out, _ = ecedge("doctor")
    assert code == 0  # only firmware for boards needs what is missing
    assert "Get it: apt install qemu-system-arm" in out


def test_train_prints_its_result_as_json(place):
    out = results_of(
        "train", "CartPole-v1", "--population", 8, "--neurons", 32, "--generations", 2,
        "--evaluation-episodes", 2, "--json",
    )  # fmt: skip
    result = json.loads(out)
    assert result["policy"] == "runs/CartPole-v1-seed0/policy.onnx"
    assert result["hash"] == load_policy(place / result["policy"])[0].hash
    assert result["generations"] == 2
    assert (place / result["curve"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("device", ["virtual", "virtual-pty"])
def test_a_device_has_no_bit_that_differs_from_its_twin(place, policy, device):
    out = results_of("run", policy, "--device", device, "--episodes", 3, "--json")
    summary = json.loads(out)
    assert summary["differing_bits"] == 0
    assert len(summary["returns"]) == 3
    assert summary["steps"] == sum(summary["returns"])


def test_run_tells_what_a_person_wants_to_know(place, policy):
    code, out, err = ecedge(
        "run", policy, "--episodes", 2, "--trace", "--report", "report.html", "--deadline-ms", 20
    )
    assert code == 0, err
    assert "2 episodes, " in out and "misses of 20 ms" in out
    assert "0 bits of outputs and state differ from the host twin" in out
    assert "-> " in err and "<- " in err
    assert "<html" in (place / "report.html").read_text()


def test_a_report_that_cannot_be_written_does_not_cost_the_result(place, policy):
    code, out, err = ecedge("run", policy, "--episodes", 1, "--report", "no/such/folder.html")
    assert code == 2
    assert "1 episodes, " in out
    assert err.splitlines()[-1].startswith("ecedge: Cannot write no/such/folder.html")


def test_export_and_build_tell_where_and_what(place, policy):
    exported = json.loads(results_of("export", policy, "--json"))
    digest = load_policy(policy)[0].hash
    assert exported == {"folder": f"build/virtual-{digest}", "policy": digest, "board": "virtual"}
    assert any((place / exported["folder"]).rglob("policy.c"))
    built = json.loads(results_of("build", policy, "--json"))
    assert os.access(place / built["program"], os.X_OK)
    assert built["policy"] == digest
    assert all(built[figure] > 0 for figure in ("text", "data", "bss", "stack_worst"))


# --- the demo -------------------------------------------------------------------------------


def interrupt_demo(folder: Path) -> tuple[int, str, str]:
    """A demo that gets a Ctrl-C after two generations of its training."""
    log = folder / "run/log.jsonl"
    process = start("demo", "--out", folder)
    deadline = time.monotonic() + DEADLINE
    while not log.exists() or log.read_bytes().count(b"\n") < 2:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"the training never began: {process.communicate()}")
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    return ended(process)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> dict:
    """A demo that was interrupted, and then called again."""
    folder = tmp_path_factory.mktemp("demo")
    interrupted = interrupt_demo(folder)
    begun = (folder / "run/log.jsonl").read_text().splitlines()
    continued = ended(start("demo", "--out", folder))
    return {
        "folder": folder, "interrupted": interrupted, "begun": begun, "continued": continued,
    }  # fmt: skip


def test_an_interrupted_demo_says_how_to_go_on(demo):
    code, _, err = demo["interrupted"]
    assert code == 2
    assert err == "ecedge: Interrupted; call it again, it goes on where it was.\n"


def test_a_demo_goes_on_where_it_was(demo):
    code, _, err = demo["continued"]
    assert code == 0, err
    assert "Going on after generation" in err
    lines = (demo["folder"] / "run/log.jsonl").read_text().splitlines()
    assert lines[:1] == demo["begun"][:1]


def test_the_demo_runs_from_task_to_report(demo):
    _, out, _ = demo["continued"]
    assert "returns: " + " ".join(["500"] * 10) in out
    assert "0 bits of outputs and state differ from the host twin" in out
    assert "<html" in (demo["folder"] / "report.html").read_text()
    for name in ("policy.onnx", "curve.png", "log.jsonl", "checkpoint.npz"):
        assert (demo["folder"] / "run" / name).stat().st_size > 0


def test_a_demo_that_begins_anew_leaves_other_files_alone(demo, tmp_path):
    folder = shutil.copytree(demo["folder"], tmp_path / "demo")
    (folder / "thesis.txt").write_text("years of work")
    (folder / "run/log.jsonl").unlink()  # to see that it begins
    interrupt_demo(folder)
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert not (folder / "report.html").exists()


# --- strangers, whose time is up by now -----------------------------------------------------


@pytest.mark.parametrize("name", [name for name in STRANGERS if name != "silent"])
def test_what_answers_but_is_no_ecedge_device_is_said(calls, name):
    url, process = calls[name]
    assert_misuse(ended(process), f"bytes came from {url}, but no frame of an ecedge device.")


def test_a_port_where_nothing_answers_is_said(calls):
    url, process = calls["silent"]
    assert_misuse(ended(process), f"Nothing answers on {url}.")
