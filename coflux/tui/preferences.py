"""What a person has chosen and finds again in every project: the theme."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping

__all__ = ["Preferences"]


class Preferences:
    """A small JSON file: `coflux/dashboard.json` below `$XDG_CONFIG_HOME`, else `~/.config`."""

    def __init__(self, path: str) -> None:
        """`path` is the file's, "" for none: nothing is remembered then."""
        self._path = path
        self._chosen: dict[str, str] = {}

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Preferences:
        home = environment.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
        preferences = cls(os.path.join(home, "coflux", "dashboard.json"))
        preferences.read()
        return preferences

    def read(self) -> None:
        """Take in what was chosen before."""
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return  # there is none, or it was spoilt: the defaults will do
        if isinstance(found, dict):
            self._chosen = {name: value for name, value in found.items() if isinstance(value, str)}

    def get(self, name: str) -> str:
        """What was chosen, "" for nothing yet."""
        return self._chosen.get(name, "")

    def choose(self, name: str, value: str) -> None:
        """Remember it from now on. Blocks on the disk.

        Raises:
            OSError: the file cannot be written.
        """
        self._chosen[name] = value
        if not self._path:
            return
        directory = os.path.dirname(self._path)
        os.makedirs(directory, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=directory, delete=False, encoding="utf-8") as file:
            json.dump(self._chosen, file)
        os.replace(file.name, self._path)
