"""Importing the user's files: always from source, and with a record of what was read.

Python's bytecode cache compares modification times in whole seconds, so it misses quick saves: files of the user are
compiled from source, and no `.pyc` of theirs is read or written. Each is recorded as it was when it was read.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import traceback
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from types import CodeType
from typing import TYPE_CHECKING

from coflux import backend
from coflux.executor.messages import ModuleError, SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ImportRecorder", "describe_import_error", "is_third_party"]

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
    """Installs the source loader for the user's directories and keeps the list of files that it read."""

    def __init__(self) -> None:
        self.files: dict[str, SourceFile] = {}
        recorder = self

        class SourceLoader(SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                path = self.get_filename(fullname)
                recorder.record(path)
                return self.source_to_code(self.get_data(path), path)

        self._details = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceLoader, SOURCE_SUFFIXES))

    def install(self) -> None:
        """Take over the user's directories on `sys.path`."""
        sys.path_hooks.insert(0, self._hook)
        for path in list(sys.path_importer_cache):
            if not is_third_party(path):
                del sys.path_importer_cache[path]

    def _hook(self, path: str) -> FileFinder:
        directory = path or os.getcwd()
        if not os.path.isdir(directory) or is_third_party(directory):
            raise ImportError(f"{directory} is not one of the user's directories", path=directory)
        return FileFinder(directory, *self._details)

    def record(self, path: str) -> None:
        status = os.stat(path)
        self.files[path] = SourceFile(path, status.st_size, status.st_mtime_ns, status.st_ino)

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
