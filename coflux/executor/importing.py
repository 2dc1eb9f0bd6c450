"""Importing the user's files: always from source, and with a record of what was read and what was looked for.

Python's bytecode cache compares modification times in whole seconds, so it misses quick saves: files of the user are
compiled from source, and no `.pyc` of theirs is read or written. Each is recorded as it was when it was read, and each
lookup in the user's directories with what there was: a file that is created later may change what is imported. This
goes on in the workers, for what the user's code imports while it runs.

A module of the standard library goes before one of the user's that has its name. Else that file would be what the
engine, or a package, gets when it imports the module later than the user's code: an error that is hard to understand.
"""

from __future__ import annotations

import importlib
import os
import site
import sys
import traceback
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from coflux import backend
from coflux.executor.messages import ModuleError, SearchedDirectory, SourceFile, Sources
from coflux.executor.sources import directory_entries, module_entries, settled_change_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coflux.executor.trail import ImportTrail

__all__ = ["ImportRecorder", "describe_import_error", "is_third_party"]

_ENTRIES = ("", *EXTENSION_SUFFIXES, *SOURCE_SUFFIXES)  # what a module's name is followed by in its directory
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


# What `sysconfig` would say, which takes three milliseconds to import.
_STANDARD_LIBRARY = os.path.dirname(os.__file__)
_PLATFORM_LIBRARY = os.path.join(sys.base_exec_prefix, sys.platlibdir, os.path.basename(_STANDARD_LIBRARY))
_STANDARD_PLACES = (_STANDARD_LIBRARY, _PLATFORM_LIBRARY, os.path.join(_PLATFORM_LIBRARY, "lib-dynload"))


def _library_directories() -> tuple[str, ...]:
    paths = (_STANDARD_LIBRARY, _PLATFORM_LIBRARY, *site.getsitepackages(), _PACKAGE)
    return tuple(path + os.sep for path in sorted({os.path.realpath(path) for path in paths}))


_LIBRARIES = _library_directories()


def is_third_party(path: str) -> bool:
    """Whether a file or a directory on `sys.path` belongs to Python, to an installed package, or to coflux."""
    real = os.path.realpath(path) + os.sep
    return (
        real.startswith(_LIBRARIES)
        or f"{os.sep}site-packages{os.sep}" in real
        or (f"{os.sep}dist-packages{os.sep}" in real)
    )


def _find_standard(module: str) -> ModuleSpec | None:
    """Find a top-level module of the standard library in its own files; `None` for one that this Python lacks."""
    return PathFinder.find_spec(module, _STANDARD_PLACES) if module in sys.stdlib_module_names else None


class ImportRecorder:
    """Installs the finder and loader of the user's directories, and keeps what they searched and read."""

    def __init__(self) -> None:
        self.trail: ImportTrail | None = None  # told of every file that is executed
        self._files: dict[str, SourceFile] = {}
        self._names: dict[str, set[str]] = {}  # that were looked for, by directory
        self._unsaid: dict[str, _Searched] = {}  # since the last `take`, by directory
        recorder = self

        class SourceLoader(SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                path = self.get_filename(fullname)
                recorder._read(path)
                code = self.source_to_code(self.get_data(path), path)
                if recorder.trail is not None:
                    recorder.trail.follow(code)
                return code

        class ExtensionLoader(ExtensionFileLoader):
            def create_module(self, spec: ModuleSpec) -> ModuleType:
                recorder._read(self.path)
                return super().create_module(spec)

        class Finder(FileFinder):
            def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
                standard = _find_standard(fullname)
                if standard is not None:
                    return standard
                recorder._look(self.path, fullname.rpartition(".")[2])
                return super().find_spec(fullname, target)

        self._finder = Finder
        self._details = ((ExtensionLoader, EXTENSION_SUFFIXES), (SourceLoader, SOURCE_SUFFIXES))

    def install(self) -> None:
        """Take over the user's directories on `sys.path`."""
        sys.path_hooks.insert(0, self._hook)
        for path in list(sys.path_importer_cache):
            if not is_third_party(path):
                del sys.path_importer_cache[path]

    def _hook(self, path: str) -> FileFinder:
        directory = path or os.getcwd()
        if is_third_party(directory) or not (os.path.isdir(directory) or _may_appear(directory)):
            raise ImportError(f"{directory} is not one of the user's directories", path=directory)
        return self._finder(directory, *self._details)

    def take(self) -> Sources:
        """What was read since the last call, and what was searched for the first time."""
        files, self._files = self._files, {}
        unsaid, self._unsaid = self._unsaid, {}
        return Sources(tuple(files.values()), tuple(directory.take() for directory in unsaid.values()))

    def take_news(self) -> Sources | None:
        """As `take`; `None` when there is nothing to say, as nearly always in a worker."""
        return self.take() if self._files or self._unsaid else None

    def hidden_modules(self) -> tuple[str, ...]:
        """The user's modules that are never imported because of their names: a file or a package's directory each."""
        entries = (
            (directory, entry)
            for directory in dict.fromkeys(sys.path)
            if not is_third_party(directory)
            for entry in sorted(directory_entries(directory))
        )
        return tuple(os.path.join(directory, entry) for directory, entry in entries if _is_hidden(directory, entry))

    def walk(self, directory: str) -> None:
        """All modules in this directory are about to be imported."""
        searched = self._in(directory)
        searched.walked = True
        searched.present |= module_entries(directory_entries(directory))
        for entry in tuple(searched.present):
            if "." not in entry and os.path.isdir(package := os.path.join(directory, entry)):
                self._look(package, "__init__")

    def _read(self, path: str) -> None:
        status = os.stat(path)
        self._files[path] = SourceFile(path, status.st_size, status.st_mtime_ns, status.st_ino)

    def _look(self, directory: str, name: str) -> None:
        """`name` is about to be looked for. What counts is what there was the first time."""
        names = self._names.setdefault(directory, set())
        if name in names:
            return
        names.add(name)
        searched = self._in(directory)
        for suffix in _ENTRIES:
            entry = name + suffix
            there = os.access(f"{directory}{os.sep}{entry}", os.F_OK)
            (searched.present if there else searched.absent).add(entry)
        if name in searched.present and os.path.isdir(package := os.path.join(directory, name)):
            self._look(package, "__init__")  # without it, a module of that name goes before the directory

    def _in(self, directory: str) -> _Searched:
        searched = self._unsaid.get(directory)
        if searched is None:
            searched = self._unsaid[directory] = _Searched(directory)
        return searched

    def import_all(self, modules: Iterable[str]) -> list[ModuleError]:
        """Import the modules; one that fails does not keep the others from being imported."""
        errors = []
        backend.set_importing(True)
        for module in modules:
            try:
                importlib.import_module(module)
            except BaseException as error:  # noqa: BLE001 (sys.exit and Ctrl-C are errors of the module, too)
                errors.append(describe_import_error(module, error))
        backend.set_importing(False)
        return errors


class _Searched:
    """What imports looked for in one directory, and found or not."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.settled = settled_change_time(path)
        self.present: set[str] = set()
        self.absent: set[str] = set()
        self.walked = False

    def take(self) -> SearchedDirectory:
        return SearchedDirectory(self.path, self.settled, tuple(self.present), tuple(self.absent), self.walked)


def _is_hidden(directory: str, entry: str) -> bool:
    name, dot, extension = entry.partition(".")
    if name != "coflux" and name not in sys.stdlib_module_names:
        return False
    path = os.path.join(directory, entry)
    if is_third_party(path):
        return False  # coflux itself, where its parent is on the path
    is_module = extension == "py" if dot else os.path.isfile(os.path.join(path, "__init__.py"))
    return is_module and (name == "coflux" or name in sys.builtin_module_names or _find_standard(name) is not None)


def _may_appear(directory: str) -> bool:
    """Whether a path on `sys.path` that leads nowhere could become a directory: no archive, nor a place in one."""
    if not os.path.isabs(directory) or directory.endswith(".zip") or os.path.lexists(directory):
        return False
    above = os.path.dirname(directory)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    return os.path.isdir(above)


def describe_import_error(module: str, error: BaseException) -> ModuleError:
    """What went wrong, and where the user should look: a syntax error's place, or the last frame of the user's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_machinery(frame.filename)]
    file, line = "", 0
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno or 0
    elif users := [frame for frame in own if not is_third_party(frame.filename)]:
        file, line = users[-1].filename, users[-1].lineno or 0
    header = "Traceback (most recent call last):\n" if own else ""
    text = header + "".join(traceback.format_list(own)) + "".join(traceback.format_exception_only(error))
    from coflux.failures import NoBlobs, capture  # only now: most imports go well
    from coflux.tracebacks import printable

    text, message = printable(text), printable(f"{type(error).__name__}: {error}")
    failure = capture(error, NoBlobs())
    return ModuleError(module, message, text, file, line, failure.type, failure.exception)


def _is_machinery(path: str) -> bool:
    return path.startswith(("<frozen importlib", _PACKAGE)) or path.endswith(f"{os.sep}importlib{os.sep}__init__.py")
