"""Importing the user's files: always from source, and with a record of what was read and what was looked for.

Python's bytecode cache compares modification times in whole seconds, so it misses quick saves: files of the user are
compiled from source, and no `.pyc` of theirs is read or written. Each is recorded as it was when it was read, and each
lookup in the user's directories with what there was: a file that is created later may change what is imported.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import traceback
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
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


def _library_directories() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = {os.path.realpath(sysconfig.get_path(name)) for name in names} | {os.path.realpath(_PACKAGE)}
    return tuple(path + os.sep for path in sorted(paths))


_LIBRARIES = _library_directories()


def is_third_party(path: str) -> bool:
    """Whether a file or a directory on `sys.path` belongs to Python, to an installed package, or to coflux."""
    real = os.path.realpath(path) + os.sep
    return (
        real.startswith(_LIBRARIES)
        or f"{os.sep}site-packages{os.sep}" in real
        or (f"{os.sep}dist-packages{os.sep}" in real)
    )


class ImportRecorder:
    """Installs the finder and loader of the user's directories, and keeps what they searched and read."""

    def __init__(self) -> None:
        self.trail: ImportTrail | None = None  # told of every file that is executed
        self._files: dict[str, SourceFile] = {}
        self._searched: dict[str, _Searched] = {}
        recorder = self

        class SourceLoader(SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                path = self.get_filename(fullname)
                recorder._read(path)
                code = self.source_to_code(self.get_data(path), path)
                if recorder.trail is not None:
                    recorder.trail.follow(code)
                return code

        class Finder(FileFinder):
            def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
                recorder._look(self.path, fullname.rpartition(".")[2])
                return super().find_spec(fullname, target)

        self._finder = Finder
        self._details = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceLoader, SOURCE_SUFFIXES))

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
        """What was read and searched since the last call."""
        files, self._files = self._files, {}
        searched, self._searched = self._searched, {}
        return Sources(tuple(files.values()), tuple(directory.told() for directory in searched.values()))

    def walk(self, directory: str) -> None:
        """All modules in this directory are about to be imported."""
        searched = self._in(directory)
        searched.walked = True
        searched.present |= module_entries(directory_entries(directory))
        for entry in searched.present:
            if "." not in entry and os.path.isdir(package := os.path.join(directory, entry)):
                self._look(package, "__init__")

    def _read(self, path: str) -> None:
        status = os.stat(path)
        self._files[path] = SourceFile(path, status.st_size, status.st_mtime_ns, status.st_ino)

    def _look(self, directory: str, name: str) -> None:
        """`name` is about to be looked for. What counts is what there was the first time."""
        searched = self._in(directory)
        if name in searched.names:
            return
        searched.names.add(name)
        for suffix in _ENTRIES:
            entry = name + suffix
            there = os.access(f"{directory}{os.sep}{entry}", os.F_OK)
            (searched.present if there else searched.absent).add(entry)
        if name in searched.present and os.path.isdir(package := os.path.join(directory, name)):
            self._look(package, "__init__")  # without it, a module of that name goes before the directory

    def _in(self, directory: str) -> _Searched:
        searched = self._searched.get(directory)
        if searched is None:
            searched = self._searched[directory] = _Searched(directory)
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
    """What imports looked for in one directory."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.settled = settled_change_time(path)
        self.names: set[str] = set()
        self.present: set[str] = set()
        self.absent: set[str] = set()
        self.walked = False

    def told(self) -> SearchedDirectory:
        return SearchedDirectory(self.path, self.settled, tuple(self.present), tuple(self.absent), self.walked)


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
    message = f"{type(error).__name__}: {error}"
    return ModuleError(module, message, text, file, line)


def _is_machinery(path: str) -> bool:
    return path.startswith(("<frozen importlib", _PACKAGE)) or path.endswith(f"{os.sep}importlib{os.sep}__init__.py")
