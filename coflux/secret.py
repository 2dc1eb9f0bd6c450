"""Values that must not be stored."""

from __future__ import annotations

import os
from typing import NoReturn

from coflux import backend

__all__ = ["Secret"]


class Secret:
    """A text that is passed to executions without being stored, and replaced wherever it is printed.

    `Secret(value)` holds the text; `Secret.env(name)` holds the name of an environment variable, which is read where
    `value` is asked for.
    """

    __slots__ = ("_name", "_value")

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            # The value stays out of the message: that is the point.
            raise TypeError(f"a Secret holds a str, not a {type(value).__name__}")
        _check_available()
        self._value: str | None = value
        self._name = ""

    @classmethod
    def env(cls, name: str) -> Secret:
        """The secret in the environment variable `name`, wherever its value is asked for."""
        if not isinstance(name, str):
            raise TypeError(f"Secret.env() takes the name of an environment variable, not {name!r}")
        _check_available()
        secret = object.__new__(cls)
        secret._value, secret._name = None, name
        return secret

    @property
    def value(self) -> str:
        """The text. Raises `LookupError` when the environment variable is not set."""
        if self._value is not None:
            return self._value
        try:
            return os.environ[self._name]
        except KeyError:
            raise LookupError(f"the environment variable {self._name} of a Secret is not set") from None

    def __repr__(self) -> str:
        return f"Secret.env({self._name!r})" if self._name else "Secret('***')"

    def __reduce__(self) -> NoReturn:
        raise NotImplementedError(f"{self!r} cannot be passed to an execution yet")


def _check_available() -> None:
    if backend.current() is not None:
        raise NotImplementedError("Secret inside an execution is not available yet")
