"""Every error that ecedge raises on purpose.

EcedgeError            one sentence, then what to try
├── UsageError         you asked for something impossible          (exit code 2)
│   ├── TaskError        unknown task, unsupported spaces
│   ├── PolicyError      a policy file or image that is not what it should be
│   ├── RigError         a rig file that is not what it should be
│   ├── BoardError       unknown board, or what is impossible there
│   │   └── DoesNotFit     a firmware that is larger than its board
│   └── ToolError        a program or package that is needed and missing
└── WorldError         the world did not play along                (exit code 1)
    ├── StorageError     a file could not be written or read         (exit code 2)
    ├── TrainingError    a task gave something that cannot be learned from
    ├── ClusterError     no worker is left to run episodes
    ├── LockstepLost     a device and its twin computed different things
    ├── BuildError       the compiler said no
    ├── PlantFault       a plant on the device's side ended its episode too early
    └── LinkError        nothing usable at the other end of the line
        ├── NoDevice       no port, nobody listening, or no answer   (exit code 2)
        ├── NotEcedge      something answers, but not an ecedge device (exit code 2)
        ├── AbiMismatch    an ecedge device of another version       (exit code 2)
        ├── LinkTimeout    a device that was there stopped answering
        │   └── LineLost     the line to it broke
        └── DeviceRefused  the device answered with an error code
"""


class EcedgeError(Exception):
    """Base of all: `message` says what happened, `hint` what to try."""

    exit_code = 1

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(EcedgeError):
    exit_code = 2


class TaskError(UsageError):
    pass


class PolicyError(UsageError):
    pass


class RigError(UsageError):
    pass


class BoardError(UsageError):
    pass


class DoesNotFit(BoardError):
    """Firmware is larger than its board. lacks: what it needs, in words and numbers; neurons: the
    largest network with the same inputs and outputs that would fit, 0 where none would."""

    def __init__(self, board: str, lacks: list[str], neurons: int = 0):
        super().__init__(
            f"The firmware does not fit {board}: it needs {' and '.join(lacks)}.",
            f"A network of {neurons} neurons fits; or use another board."
            if neurons
            else "Use a smaller capacity for uploads, or another board.",
        )
        self.lacks = lacks
        self.neurons = neurons


class ToolError(UsageError):
    pass


class WorldError(EcedgeError):
    exit_code = 1


class StorageError(WorldError):
    exit_code = 2


class TrainingError(WorldError):
    pass


class ClusterError(WorldError):
    pass


class LockstepLost(WorldError):
    pass


class BuildError(WorldError):
    pass


class PlantFault(WorldError):
    pass


class LinkError(WorldError):
    pass


class NoDevice(LinkError):
    exit_code = 2


class NotEcedge(LinkError):
    exit_code = 2


class AbiMismatch(LinkError):
    exit_code = 2


class LinkTimeout(LinkError):
    pass


class LineLost(LinkTimeout):
    pass


class DeviceRefused(LinkError):
    """The device answered a request with an error code and a detail of docs/LINK.md."""

    def __init__(self, message: str, hint: str = "", code: int = 0, detail: int = 0):
        super().__init__(message, hint)
        self.code = code
        self.detail = detail
