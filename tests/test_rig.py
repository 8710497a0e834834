"""The rig file: what it may say, and whose port is whose."""

import contextlib
from dataclasses import replace

import pytest
from test_cli import (
    Server,
    assert_misuse,
    ecedge,
    fake_device,
    hello_of,
    plug_in,
    policy_of,
    results_of,
)

from ecedge.devices import find_device, locate, open_device, parse_device, read_rig, run_board
from ecedge.errors import BoardError, NoDevice, RigError
from ecedge.link import FrameReader, MessageType, Port
from ecedge.link.transport import SerialTransport
from ecedge.policy_file import PolicyInfo, save_policy
from ecedge.rig import RigDevice, parse_rig

CHIP = "3d002f000c47333532383335ffffffff"
OTHER_CHIP = "00" * 15 + "01"
LEFT = 'board = "uno"\nusb_serial = "5573"\n'
SPEEDS = "baud = 57600\nfastest = 1000000\n"
RIGHT = f'board = "netduinoplus2"\nchip_id = "{CHIP}"\n{SPEEDS}on_open = "reset"\n'
GOOD = f"[devices.left]\n{LEFT}\n[devices.right]\n{RIGHT}\n[devices.twin]\nemulate = 'virtual'\n"


def rig_of(left: str = LEFT, more: str = "") -> str:
    return f"[devices.left]\n{left}{more}"


# --- the file -------------------------------------------------------------------------------


def test_a_rig_says_what_its_file_says():
    assert parse_rig(GOOD).devices == (
        RigDevice("left", "uno", "5573"),
        RigDevice("right", "netduinoplus2", "", CHIP, 57600, "reset", fastest=1_000_000),
        RigDevice("twin", emulate="virtual"),
    )


def test_a_chip_id_may_be_in_capitals():
    assert parse_rig(GOOD.replace(CHIP, CHIP.upper())) == parse_rig(GOOD)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "It names no device."),
        ("[devices]", "It names no device."),
        ("devices = 5", "devices is 5; it is a table."),
        ("[devices]\nleft = 5", "devices.left is 5; it is a table."),
        ("name = 'desk'\n" + GOOD, "the top level has the unknown key 'name'. Keys: devices."),
        ("[devices.left", "is not TOML"),
        (GOOD + rig_of(), "is not TOML"),
        (rig_of(more="baud = 300\nbaud = 300"), "is not TOML"),
        (f"x = {'[' * 5000}{']' * 5000}", "it nests too deep"),
        (rig_of(f"x = {'9' * 5000}"), "is not TOML"),
        ("['devices'.'1st']\n" + LEFT, "'1st' is no name for a device."),
        ("['devices'.'']\n" + LEFT, "'' is no name for a device."),
        ("['devices'.'a b']\n" + LEFT, "'a b' is no name for a device."),
        (f"[devices.{'a' * 33}]\n" + LEFT, "is no name for a device. Use up to 32 letters"),
        (rig_of("usb_serial = '5573'"), "devices.left lacks the key board. Or say emulate"),
        (rig_of("board = 'uno'"), "devices.left lacks usb_serial or chip_id, to find it by."),
        (rig_of(""), "devices.left lacks the key board."),
        (rig_of(more="speed = 9"), "the unknown key 'speed'. Keys: board, usb_serial, chip_id,"),
        (rig_of(more="port = '/dev/ttyACM0'"), "has the unknown key 'port'."),
        (rig_of("board = 5\nusb_serial = '1'"), "board is 5; it is a text in quotes."),
        (rig_of("board = ''\nusb_serial = '1'"), "board is ''; it is a text in quotes."),
        (rig_of("board = 'café'\nusb_serial = '1'"), "it is ASCII, at most 16 letters."),
        (rig_of(f"board = '{'a' * 17}'\nusb_serial = '1'"), "it is ASCII, at most 16 letters."),
        (rig_of("board = 'uno'\nusb_serial = 5573"), "usb_serial is 5573; it is a text in quotes"),
        (rig_of("board = 'uno'\nusb_serial = ''"), "usb_serial is ''; it is a text in quotes."),
        (rig_of('board = "uno"\nusb_serial = "a\\nb"'), "it is a text in quotes."),
        (rig_of(more="chip_id = 7"), "chip_id is 7; it is a text in quotes."),
        (rig_of(more=f"chip_id = '{CHIP[:-1]}'"), "it is 32 hexadecimal digits."),
        (rig_of(more=f"chip_id = '{CHIP[:-1]}g'"), "it is 32 hexadecimal digits."),
        (rig_of(more=f"chip_id = '{'0' * 32}'"), "chip_id is all zeros: the part has none."),
        (rig_of(more="baud = '9600'"), "baud is '9600'; it is a whole number of 300 or more."),
        (rig_of(more="baud = 9600.0"), "baud is 9600.0; it is a whole number"),
        (rig_of(more="baud = true"), "baud is True; it is a whole number"),
        (rig_of(more="baud = 299"), "baud is 299; it is a whole number"),
        (rig_of(more="fastest = '1e6'"), "fastest is '1e6'; it is a whole number of 300 or more."),
        (rig_of(more=f"baud = {10**18}"), "it is a whole number"),
        (rig_of(more="on_open = 'restart'"), """on_open is 'restart'; it is "keep" or "reset"."""),
        (rig_of(more="on_open = true"), "on_open is True; it is"),
        (rig_of(more="on_open = ['keep']"), "on_open is ['keep']; it is"),
        (rig_of(more="emulate = 'virtual'"), "the unknown key 'board'. Keys: emulate."),
        (rig_of("emulate = 5"), "emulate is 5; it is a text in quotes."),
        (rig_of("emulate = 'virtual'\nbaud = 9600"), "the unknown key 'baud'. Keys: emulate."),
        (
            GOOD + "[devices.also]\n" + LEFT,
            "left and also have the same usb_serial. Give both their chip_id too.",
        ),
        (
            GOOD + f"[devices.also]\n{LEFT}chip_id = '{OTHER_CHIP}'",
            "left and also have the same usb_serial.",
        ),
        (GOOD + "[devices.also]\n" + RIGHT, "right and also have the same chip_id."),
        (
            GOOD + f"[devices.also]\nboard = 'uno'\nchip_id = '{CHIP.upper()}'",
            "right and also have the same chip_id.",
        ),
    ],
)
def test_a_wrong_rig_is_told_what_is_allowed(text, complaint):
    with pytest.raises(RigError) as caught:
        parse_rig(text, "desk.toml")
    assert str(caught.value).startswith("desk.toml")
    assert complaint in str(caught.value)


def test_devices_behind_one_adapter_are_told_apart_by_their_chips():
    one, other = f"{LEFT}chip_id = '{CHIP}'\n", f"{LEFT}chip_id = '{OTHER_CHIP}'\n"
    assert len(parse_rig(f"[devices.a]\n{one}[devices.b]\n{other}").devices) == 2


def test_every_prefix_is_a_rig_or_a_rig_error():
    for end in range(len(GOOD)):
        with contextlib.suppress(RigError):
            parse_rig(GOOD[:end])


@pytest.mark.parametrize("letter", "\0\n\"'=[].x9é")
def test_every_changed_letter_is_a_rig_or_a_rig_error(letter):
    for at in range(len(GOOD)):
        with contextlib.suppress(RigError):
            parse_rig(GOOD[:at] + letter + GOOD[at + 1 :])


@pytest.mark.parametrize(
    "content, complaint",
    [
        (None, "There is no rig file rig.toml. docs/RIG.md tells how one looks."),
        (b"\xff", "rig.toml is not UTF-8"),
        (GOOD.replace("left", "uno").encode(), '"uno" means something else already.'),
        (GOOD.replace("left", "virtual-pty").encode(), '"virtual-pty" means something else'),
        (GOOD.replace("left", "COM3").encode(), '"COM3" means something else already.'),
        (b"[devices.a]\nemulate = 'toaster'", 'devices.a.emulate: There is no device "toaster".'),
        (b"[devices.a]\nemulate = '/dev/ttyACM0'", "a.emulate is the port /dev/ttyACM0;"),
        (b"[devices.a]\nemulate = 'socket://h:1'", "a.emulate is the port socket://h:1;"),
        (b"[devices.a]\nemulate = 'virtual?baud=1'", "an option that is not baud=N"),
    ],
)
def test_a_file_that_is_no_rig_is_one_sentence(tmp_path, monkeypatch, content, complaint):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "rig.toml").write_bytes(content)
    with pytest.raises(RigError) as caught:
        read_rig()
    assert complaint in str(caught.value)
    assert_misuse(ecedge("devices", "--rig", "rig.toml"), complaint)


def test_a_folder_is_no_rig(tmp_path):
    with pytest.raises(RigError, match="cannot be read: is a directory"):
        read_rig(tmp_path)


# --- whose port is whose --------------------------------------------------------------------

ACM0, ACM1 = Port("/dev/ttyACM0", "2341:0043", "5573"), Port("/dev/ttyACM1", "0483:374b", "066D")
S0 = Port("/dev/ttyS0")


def resolved(name: str, ports, hellos=None, text: str = GOOD) -> str:
    rig = parse_rig(text)
    return rig.resolve(rig.find(name), ports, hellos or {}).name


def test_a_usb_serial_number_finds_its_port_without_asking():
    rig = parse_rig(GOOD)
    assert rig.ports_to_ask(rig.find("left"), [ACM1, ACM0, S0]) == []
    assert resolved("left", [ACM1, ACM0, S0]) == "/dev/ttyACM0"


def test_a_chip_id_alone_asks_at_every_port_that_is_no_other_device_s():
    rig = parse_rig(GOOD)
    assert rig.ports_to_ask(rig.find("right"), [ACM1, ACM0, S0]) == [ACM1, S0]
    hellos = {"/dev/ttyS0": hello_of(chip_id=CHIP), "/dev/ttyACM1": hello_of()}
    assert resolved("right", [ACM1, ACM0, S0], hellos) == "/dev/ttyS0"


def test_ports_with_one_serial_number_are_told_apart_by_their_chips():
    text = rig_of(more=f"chip_id = '{CHIP}'")
    twins = [ACM0, replace(ACM1, usb_serial="5573")]
    rig = parse_rig(text)
    assert rig.ports_to_ask(rig.find("left"), twins) == twins
    hellos = {"/dev/ttyACM0": hello_of(chip_id=OTHER_CHIP), "/dev/ttyACM1": hello_of(chip_id=CHIP)}
    assert resolved("left", twins, hellos, text) == "/dev/ttyACM1"


@pytest.mark.parametrize(
    "name, ports, hellos, complaint",
    [
        ("left", [], {}, "left is not there: no port has the USB serial number 5573."),
        ("left", [ACM1, S0], {}, "left is not there: no port has the USB serial number 5573."),
        ("right", [], {}, f"right is not there: no port answers with the chip id {CHIP}."),
        ("right", [S0], {}, f"right is not there: no port answers with the chip id {CHIP}."),
        ("right", [S0], {"/dev/ttyS0": hello_of()}, "right is not there: no port answers"),
        (
            "left",
            [ACM0, replace(ACM1, usb_serial="5573")],
            {},
            "left may be any of /dev/ttyACM0, /dev/ttyACM1: each has the USB serial number 5573. "
            "Give left its chip_id too.",
        ),
        (
            "right",
            [ACM1, S0],
            {port.name: hello_of(chip_id=CHIP) for port in (ACM1, S0)},
            "right may be any of /dev/ttyACM1, /dev/ttyS0: each answers with the chip id",
        ),
    ],
)
def test_a_device_that_is_not_there_or_not_alone_is_said(name, ports, hellos, complaint):
    with pytest.raises(NoDevice) as caught:
        resolved(name, ports, hellos)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "facts, complaint",
    [
        ({"board": "uno"}, "its board is uno, not netduinoplus2."),
        ({"chip_id": OTHER_CHIP}, f"its chip id is {OTHER_CHIP}, not {CHIP}."),
    ],
)
def test_another_device_than_the_rig_s_is_told(facts, complaint):
    right = parse_rig(GOOD).find("right")
    usual = {"board": "netduinoplus2", "chip_id": CHIP}
    right.check(hello_of(**usual), "/dev/ttyACM1")
    with pytest.raises(NoDevice, match=f"/dev/ttyACM1 is not right: {complaint}"):
        right.check(hello_of(**usual | facts), "/dev/ttyACM1")


# --- the rig in use -------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a rig file, and a virtual device at a port with the serial number 5573."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rig.toml").write_text(GOOD.replace('"uno"', '"virtual"'))
    with run_board(parse_device("virtual-pty")) as running:
        plug_in(monkeypatch, Port(running.port, "2341:0043", "5573"), Port("/dev/ttyNONE"))
        yield tmp_path


def test_a_name_of_the_rig_is_opened_at_its_port(desk):
    with open_device(find_device("left", read_rig())) as device:
        assert device.hello.board == "virtual"


def test_a_device_that_a_rig_emulates_is_what_the_spec_says(desk):
    assert find_device("twin", read_rig()) == parse_device("virtual")


def test_what_is_no_name_of_the_rig_is_a_device_spec(desk):
    assert find_device("virtual?baud=9600", read_rig()) == parse_device("virtual?baud=9600")
    with pytest.raises(BoardError, match=r"rig.toml names left, right, twin. Boards: "):
        find_device("toaster", read_rig())


def test_another_device_is_left_as_it_was(desk):
    (desk / "rig.toml").write_text(GOOD)  # where left is an uno
    found = find_device("left", read_rig())
    sent = {"host": b"", "device": b""}

    def note(side, data):
        sent[side] += data

    with (
        pytest.raises(NoDevice, match="is not left: its board is virtual, not uno"),
        open_device(found, trace=note),
    ):
        pytest.fail("opened")
    assert {packet.type for packet in FrameReader().feed(sent["host"])} == {MessageType.HELLO}


def test_run_refuses_another_device(desk, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    save_policy(path, policy_of(), PolicyInfo("CartPole-v1"))
    (desk / "desk.toml").write_text(GOOD)
    words = "run", path, "--episodes", 1
    assert ecedge(*words, "--device", "left")[0] == 0  # rig.toml
    assert_misuse(
        ecedge(*words, "--device", "left", "--rig", "desk.toml"),
        "is not left: its board is virtual, not uno.",
    )


def test_a_device_is_found_by_its_chip_id(monkeypatch):
    with contextlib.ExitStack() as stack:
        chips = [OTHER_CHIP, CHIP]
        hellos = [hello_of(board="netduinoplus2", chip_id=chip) for chip in chips]
        servers = [stack.enter_context(Server(fake_device(hello))) for hello in hellos]
        plug_in(monkeypatch, *(Port(server.url) for server in servers), Port("/dev/ttyNONE"))
        rig = parse_rig(GOOD)
        found = locate(rig, rig.find("right"))
    assert (found.port, found.baud, found.reset) == (servers[1].url, 57600, True)
    assert found.fastest == 1_000_000
    assert found.expected == rig.find("right")


def test_devices_shows_the_rig(desk):
    lines = results_of("devices", "--rig", "rig.toml").splitlines()
    name, board, port = lines[0].split()
    assert (name, board) == ("left", "virtual") and port.startswith("/dev/")
    assert lines[1].split() == ["right", "netduinoplus2"]
    assert lines[2] == "    Its chip id alone tells where it is: --probe asks at the ports."
    assert lines[3].split() == ["twin", "virtual", "started", "when", "used"]


def test_devices_asks_whether_the_rig_is_there(desk):
    code, out, _ = ecedge("devices", "--rig", "rig.toml", "--probe")
    lines = out.splitlines()
    assert code == 2
    assert "    virtual, chip " in lines[1]
    assert f"    right is not there: no port answers with the chip id {CHIP}." in lines[3]
    (desk / "rig.toml").write_text(GOOD)
    code, out, _ = ecedge("devices", "--rig", "rig.toml", "--probe")
    assert code == 2
    assert "is not left: its board is virtual, not uno." in out.splitlines()[2]


def test_ports_and_a_rig_are_not_shown_together(desk):
    assert_misuse(ecedge("devices", "/dev/ttyACM0", "--rig", "rig.toml"), "shown together")


# --- what opening does ----------------------------------------------------------------------


class ModemLines:
    """A port that notes what becomes of DTR and RTS."""

    def __init__(self):
        object.__setattr__(self, "edges", [])

    def __setattr__(self, name, value):
        self.edges.append((name, value))


def test_a_reset_drops_the_lines_and_raises_them():
    port = ModemLines()
    SerialTransport("/dev/ttyACM0", port, 9600).reset_board()
    for name in ("dtr", "rts"):
        assert [value for line, value in port.edges if line == name] == [False, True]


def test_a_port_that_cannot_reset_says_so(desk):
    (desk / "rig.toml").write_text(rig_of(LEFT, "on_open = 'reset'"))
    with (
        pytest.raises(NoDevice, match="cannot reset a board: it has neither DTR nor RTS"),
        open_device(find_device("left", read_rig())),
    ):
        pytest.fail("opened")


def test_a_broken_rig_stops_only_what_uses_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "policy.onnx"
    save_policy(path, policy_of(), PolicyInfo("CartPole-v1"))
    (tmp_path / "rig.toml").write_text("[devices.left")
    words = "run", path, "--episodes", 1
    assert ecedge(*words, "--device", "virtual")[0] == 0
    assert_misuse(ecedge(*words, "--device", "left"), "rig.toml is not TOML")
    assert_misuse(ecedge(*words, "--rig", "rig.toml"), "rig.toml is not TOML")
