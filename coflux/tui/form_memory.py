"""What was typed into start forms last: a small file beside the store, which all dashboards of the project share."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from coflux.tui.arguments import Given

__all__ = ["ForgottenError", "FormMemory"]

FILE = "forms.json"
TARGETS = 200  # whose forms are remembered, the last ones
LONGEST = 20_000  # characters of what is remembered of one field

_Typed = dict[str, dict[str, Given]]  # by `module/name`, then by parameter
_decoder: msgspec.json.Decoder[_Typed] = msgspec.json.Decoder(_Typed)


class ForgottenError(Exception):
    """The file cannot be read, or not be written. The message is one line that names it."""


class FormMemory:
    def __init__(self, data_dir: str) -> None:
        self._path = os.path.join(data_dir, FILE)

    def load(self) -> dict[tuple[str, str], dict[str, Given]]:
        """What was typed, by target (module and name) and parameter. Raises `ForgottenError`."""
        typed: dict[tuple[str, str], dict[str, Given]] = {}
        for place, entries in self._read().items():
            module, _, name = place.rpartition("/")
            typed[module, name] = entries
        return typed

    def save(self, module: str, name: str, entries: Mapping[str, Given]) -> None:
        """Remember what was typed into one form. Raises `ForgottenError`."""
        typed = self._read()
        place = f"{module}/{name}"
        typed.pop(place, None)
        typed[place] = {key: given for key, given in entries.items() if len(given.text or "") <= LONGEST}
        kept = dict(list(typed.items())[-TARGETS:])
        temporary = f"{self._path}.{os.getpid()}"
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(kept))
            os.replace(temporary, self._path)
        except OSError as error:
            raise ForgottenError(f"what was typed is not remembered: {self._path}: {error.strerror}") from None

    def _read(self) -> _Typed:
        try:
            with open(self._path, "rb") as file:
                return _decoder.decode(file.read())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ForgottenError(f"cannot read {self._path}: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ForgottenError(f"{self._path} is damaged ({error}): remove it") from None
