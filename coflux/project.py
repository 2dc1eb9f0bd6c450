"""Where a project is, how it is configured, and what a file target's module is called.

Every command starts here, so only cheap modules are imported at the top: TOML, hashes and suggestions on demand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from coflux.errors import ClientError
from coflux.worker_groups import DEFAULT, WorkerGroup, read_groups

__all__ = ["ConfigError", "Project", "Settings", "age", "find_project", "module_of_file", "size", "taken_name"]

CONFIG_FILE = "coflux.toml"
SOCKET_PATH_LIMIT = 100  # bytes; Linux takes 107 and a terminating zero, macOS 103


class ConfigError(ClientError):
    """The project cannot be used as it is configured. The message is one line that names the place."""


def usable_cpus() -> int:
    """The number of CPUs that this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(NamedTuple):
    """What a project configures. Read from `COFLUX_*`, then `coflux.toml` or `[tool.coflux]`, then these defaults.

    modules: modules that `coflux discover` and `coflux dev` load when none are named.
    concurrency: executions that run at the same time (one that waits for another does not count).
    isolation: "shared" reuses a worker process, "fresh" gives every execution its own.
    start_method: how workers start: "fork" from a process that has the modules imported, or "spawn".
    preload: third-party packages imported once and kept across reloads: "auto" (what the modules pulled in), "off",
        or their names.
    grace: seconds between SIGTERM and SIGKILL when an execution is stopped; 0 kills at once.
    import_timeout: seconds that importing the modules may take.
    max_depth: how deep calls may nest.
    keep_for: seconds that runs are kept after they have ended; `None` keeps them whatever their age.
    keep_size: bytes that the data directory may have before the oldest runs go; `None` for any number.
    workers: the worker groups that are configured; see `groups`.
    """

    modules: tuple[str, ...] = ()
    concurrency: int = usable_cpus()
    isolation: Literal["shared", "fresh"] = "shared"
    start_method: Literal["fork", "spawn"] = "fork" if sys.platform == "linux" else "spawn"
    preload: Literal["auto", "off"] | tuple[str, ...] = "auto"
    grace: float = 0.0
    import_timeout: float = 60.0
    max_depth: int = 1000
    keep_for: float | None = 90 * 86400.0
    keep_size: int | None = 10 << 30
    workers: tuple[WorkerGroup, ...] = ()

    @property
    def groups(self) -> tuple[WorkerGroup, ...]:
        """All worker groups, in the order in which steps go to them. The default one is always there, and first: what
        requires nothing should not hold up what only the others can run."""
        groups = [group for group in self.workers if group.name == DEFAULT] or [WorkerGroup(DEFAULT)]
        groups += [group for group in self.workers if group.name != DEFAULT]
        return tuple(group._replace(concurrency=group.concurrency or self.concurrency) for group in groups)


class Project(NamedTuple):
    """A project directory: `root` and `data_dir` are absolute, `config_file` is "" when there is none."""

    root: str
    data_dir: str
    settings: Settings
    config_file: str

    @property
    def socket_path(self) -> str:
        """The supervisor's socket: in the data directory, or where its path is too long for a socket, in a directory
        of the user's that depends on nothing but the data directory, so that every client finds the same one."""
        path = os.path.join(self.data_dir, "supervisor.sock")
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            return path
        from hashlib import blake2b

        digest = blake2b(os.fsencode(self.data_dir), digest_size=16).hexdigest()
        return os.path.join(f"/tmp/coflux-{os.getuid()}", f"{digest}.sock")

    @property
    def blobs_dir(self) -> str:
        """Where big values, and the files of assets, are stored."""
        return os.path.join(self.data_dir, "blobs")

    def prepare(self) -> None:
        """Create the data directory and the socket's directory, open to this user only.

        Raises `ConfigError` when that is impossible, or when the socket's directory belongs to somebody else.
        """
        try:
            os.makedirs(self.data_dir, mode=0o700, exist_ok=True)
            ignore = os.path.join(self.data_dir, ".gitignore")
            if not os.path.exists(ignore):
                with open(ignore, "w") as file:
                    file.write("*\n")
        except OSError as error:
            raise ConfigError(f"cannot create the data directory {self.data_dir}: {error.strerror}") from None
        directory = os.path.dirname(self.socket_path)
        if directory != self.data_dir:
            _make_private(directory)


def _make_private(directory: str) -> None:
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        status = os.lstat(directory)
    except OSError as error:
        raise ConfigError(f"cannot create the socket directory {directory}: {error.strerror}") from None
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigError(f"{directory} must be a directory of yours with mode 0700; or choose a shorter --data-dir")


def find_project(start: str | None = None, data_dir: str | None = None) -> Project:
    """Find the project that `start` (default: the current directory) belongs to, and read its configuration.

    The root is the nearest directory upwards with a `coflux.toml` or `pyproject.toml`, else `start` itself. The data
    directory is `data_dir`, else `$COFLUX_DATA_DIR`, else `.coflux` in the root.

    Raises `ConfigError` for a file that does not parse, an unknown key or a value of the wrong type.
    """
    try:
        directory = os.path.realpath(start or os.getcwd())
    except FileNotFoundError:
        raise ConfigError("the current directory does not exist any more") from None
    root = _find_root(directory)
    config_file, table = _read_config(root)
    values = _check_table(config_file, table, root)
    values.update(_read_environment(os.environ))
    chosen = data_dir or os.environ.get("COFLUX_DATA_DIR") or os.path.join(root, ".coflux")
    return Project(root, os.path.realpath(os.path.expanduser(chosen)), Settings(**values), config_file)


def _find_root(directory: str) -> str:
    candidate = directory
    while True:
        if any(os.path.isfile(os.path.join(candidate, name)) for name in (CONFIG_FILE, "pyproject.toml")):
            return candidate
        parent = os.path.dirname(candidate)
        if parent == candidate:
            return directory
        candidate = parent


# -- reading ----------------------------------------------------------------------------------------------------------


def _read_config(root: str) -> tuple[str, dict[str, object]]:
    """The configuration file and its table. A `coflux.toml` is the only file read when there is one."""
    path = os.path.join(root, CONFIG_FILE)
    if os.path.isfile(path):
        return path, _load_toml(path)
    path = os.path.join(root, "pyproject.toml")
    # Looking for the word first spares most projects the cost of a TOML parser.
    if not os.path.isfile(path) or b"coflux" not in _read_bytes(path):
        return "", {}
    tools = _load_toml(path).get("tool")
    table = tools.get("coflux") if isinstance(tools, dict) else None
    if table is None:
        return "", {}
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.coflux must be a table")
    return path, table


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def _load_toml(path: str) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(_read_bytes(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _check_table(path: str, table: Mapping[str, object], root: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in table.items():
        setting = _SETTINGS.get(key)
        if key == "workers":
            values[key] = _workers(path, value, root)
        elif setting is None:
            raise ConfigError(f"{path}: unknown key {key!r}{_suggestion(key, (*_SETTINGS, 'workers'))}")
        else:
            values[key] = _checked(f"{path}: {key}", setting.check, value)
    return values


def _workers(path: str, value: object, root: str) -> tuple[WorkerGroup, ...]:
    table = "workers" if os.path.basename(path) == CONFIG_FILE else "tool.coflux.workers"
    try:
        return read_groups(value, table, root)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Settings from `COFLUX_*`. A variable that is no setting is an error only when it looks like a misspelt one."""
    values: dict[str, Any] = {}
    unknown = []
    for variable, text in environment.items():
        if not variable.startswith("COFLUX_") or variable == "COFLUX_DATA_DIR" or not text:
            continue
        key = variable.removeprefix("COFLUX_").lower()
        setting = _SETTINGS.get(key)
        if setting is None:
            unknown.append(variable)
        else:
            values[key] = _checked(variable, setting.check, setting.parse(text))
    known = ["COFLUX_DATA_DIR", *(f"COFLUX_{key.upper()}" for key in _SETTINGS)]
    for variable in unknown:
        suggestion = _suggestion(variable, known, cutoff=0.85)
        if suggestion:
            raise ConfigError(f"unknown environment variable {variable}{suggestion}")
    return values


def _checked(place: str, check: Callable[[object], object], value: object) -> object:
    try:
        return check(value)
    except ValueError as error:
        raise ConfigError(f"{place} must be {error}, not {value!r}") from None


def _suggestion(word: str, known: Any, cutoff: float = 0.6) -> str:
    from difflib import get_close_matches

    matches = get_close_matches(word, known, n=1, cutoff=cutoff)
    return f"; did you mean {matches[0]!r}?" if matches else ""


# -- the settings: how a variable's text becomes a value, and what a value must be -----------------------------------


class _Setting(NamedTuple):
    parse: Callable[[str], object]
    check: Callable[[object], object]


def _number_or_text(text: str) -> object:
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            continue
    return text


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _whole_number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number of at least 1")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError("a number of seconds, 0 or more")
    return float(value)


def _positive_seconds(value: object) -> float:
    if _seconds(value) == 0:
        raise ValueError("a number of seconds above 0")
    return _seconds(value)


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValueError("a list of names")
    return tuple(value)


def _choice(*choices: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(" or ".join(f'"{choice}"' for choice in choices))
        return value

    return check


def _preload(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str) and value in ("auto", "off"):
        return value
    try:
        return _names(value)
    except ValueError:
        raise ValueError('"auto", "off" or a list of packages') from None


def age(value: object) -> float | None:
    """How long to keep what has ended, in seconds: a number of them, or like "90d"; `None` for "off".

    Raises `ValueError` with what it must be.
    """
    from coflux.durations import FORM, parse_duration

    if value == "off":
        return None
    try:
        return _seconds(parse_duration(value).total_seconds() if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        raise ValueError(f'a duration ({FORM}), or "off"') from None


def size(value: object) -> int | None:
    """A number of bytes, also like "10GB" (powers of 1000) or "10 GiB" (of 1024); `None` for "off".

    Raises `ValueError` with what it must be.
    """
    if value == "off":
        return None
    import re

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", str(value), re.IGNORECASE)
    if match is None or isinstance(value, bool):
        raise ValueError('a number of bytes, like "10GB" or "512MiB", or "off"')
    number, prefix, binary = match.groups("")
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index(prefix.lower() or " "))


_SETTINGS = {
    "modules": _Setting(_words, _names),
    "concurrency": _Setting(_number_or_text, _whole_number),
    "isolation": _Setting(str, _choice("shared", "fresh")),
    "start_method": _Setting(str, _choice("fork", "spawn")),
    "preload": _Setting(lambda text: text if text in ("auto", "off") else _words(text), _preload),
    "grace": _Setting(_number_or_text, _seconds),
    "import_timeout": _Setting(_number_or_text, _positive_seconds),
    "max_depth": _Setting(_number_or_text, _whole_number),
    "keep_for": _Setting(_number_or_text, lambda value: age(value) or None),  # 0 is "off", too
    "keep_size": _Setting(_number_or_text, lambda value: size(value) or None),
}


# -- file targets -----------------------------------------------------------------------------------------------------


def module_of_file(path: str) -> tuple[str, str]:
    """The dotted module name of a Python file, and the directory that must be on `sys.path` to import it by that name.

    The name starts below the first directory upwards that has no `__init__.py` or is called `src`.

    Raises `ConfigError` when there is no such file, or when its name cannot be imported.
    """
    directory, name = os.path.split(os.path.abspath(path))
    directory = os.path.realpath(directory)
    stem, extension = os.path.splitext(name)
    if not os.path.isfile(path):
        raise ConfigError(f"there is no file {path}")
    if extension != ".py":
        raise ConfigError(f"{path} is not a Python file (.py)")
    parts = [] if stem == "__init__" else [stem]
    while os.path.basename(directory) != "src" and os.path.isfile(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        parts.insert(0, package)
    for part in parts:
        if not part or "." in part:
            raise ConfigError(f"{path} cannot be imported: rename {part!r}, a module's name has no dots")
    if not parts:
        raise ConfigError(f"{path} is not part of a package: name another file")
    if parts[0] == "coflux" or parts[0] in sys.stdlib_module_names:
        raise ConfigError(taken_name(path, parts[0]))
    return ".".join(parts), directory


def taken_name(path: str, name: str) -> str:
    """Why the file or package `path` is never imported by this name, which is coflux's or the standard library's."""
    owner = "coflux itself" if name == "coflux" else "the standard library"
    return f"{path}: the name {name!r} belongs to {owner}, which goes before it: rename the file or its package"
