"""The start of a process of ours in another interpreter than the engine's: `python bootstrap.py guardian DESCRIPTOR`,
or `python bootstrap.py worker ARGUMENTS`.

That interpreter has its own packages, and only those: of the engine's environment it gets this package, from where the
engine has it, and nothing beside it. What this package needs has to be installed there; if it is not, a guardian says
so as its only message. So this file must be readable by any Python 3.6, and imports nothing of ours before it has
looked.
"""

import importlib.util
import os
import socket
import struct
import sys

OLDEST = (3, 11)
NEEDED = ("msgspec", "blake3", "dill")  # what guardians, module hosts and workers import
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def problem() -> str:
    """What this interpreter lacks, with the remedy; "" when it lacks nothing."""
    if sys.version_info < OLDEST:
        version = ".".join(str(part) for part in sys.version_info[:3])
        return f"{sys.executable} is Python {version}: a worker group needs {OLDEST[0]}.{OLDEST[1]} or newer"
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        remedy = f"{sys.executable} -m pip install {' '.join(missing)}"
        return f"{sys.executable} lacks what coflux needs in a worker group, {', '.join(missing)}: {remedy}"
    return ""


def load_package() -> None:
    """Import this very package as `coflux`, whatever the interpreter would find by that name."""
    spec = importlib.util.spec_from_file_location(
        "coflux", os.path.join(PACKAGE, "__init__.py"), submodule_search_locations=[PACKAGE]
    )
    assert spec is not None and spec.loader is not None  # noqa: PT018 (of a file, it has both)
    module = importlib.util.module_from_spec(spec)
    sys.modules["coflux"] = module
    spec.loader.exec_module(module)


def refuse(descriptor: int, text: str) -> None:
    """Send `GuardianRefused(text)`, as `coflux.executor.channel` would."""
    data = text.encode("utf-8", "backslashreplace")
    name = b"GuardianRefused"
    payload = b"\x92" + bytes([0xA0 | len(name)]) + name + b"\xdb" + struct.pack("!I", len(data)) + data
    with socket.socket(fileno=descriptor) as channel:
        channel.sendall(struct.pack("!i", len(payload)) + payload)


def main() -> None:
    role, argument = sys.argv[1:]
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if entry and os.path.abspath(entry) != own]
    if role == "worker":
        load_package()
        from coflux.executor import worker

        worker.main_spawned(argument)
        return
    text = problem()
    if text:
        refuse(int(argument), text)
        sys.exit(1)
    load_package()
    try:
        from coflux.executor import zygote
    except ImportError as error:
        refuse(int(argument), f"{sys.executable} cannot import what coflux needs in a worker group: {error}")
        sys.exit(1)
    zygote.main(int(argument))


if __name__ == "__main__":
    main()
