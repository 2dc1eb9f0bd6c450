"""Values that must not be stored, nor shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from coflux import backend
from coflux.errors import ExecutionError
from coflux.redaction import THIS_PROCESS

if TYPE_CHECKING:
    from coflux.encoded import Reference

__all__ = ["Secret", "SecretForgotten", "hide", "keeping", "recall"]

Keep = Callable[[str], str]
"""Has the engine keep a text in its memory; returns the id by which values refer to it."""

_keep: ContextVar[Keep | None] = ContextVar("coflux_keep_secret", default=None)
_recalled: dict[str, str] = {}  # by id, what the engine has told this process
_ENVIRONMENT = "env:"  # before the name, in the id of a secret that is read from the environment


class SecretForgotten(ExecutionError):
    """A value refers to a `Secret(...)` that the engine does not hold any more."""


class Secret:
    """A text that is passed to executions without being stored, and replaced by `***` wherever a text shows it.

    `Secret(value)` holds the text. Where it is passed on, the engine keeps it in memory, and only a reference is
    stored: after a restart of the engine, what needs it fails. `Secret.env(name)` holds the name of an environment
    variable, which is read where `value` is asked for, so it outlives the engine.

    What this does not cover: values, and the paths and contents of assets, are data, and stored as they are. What was
    written before a text became a secret stays. A `Secret(value)` has another cache key in each engine, so results
    that were cached with it as an argument are found only until the engine ends.

    Two secrets are equal when they hold the same text, or the same name.
    """

    __slots__ = ("_name", "_value")

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            # The value stays out of the message: that is the point.
            raise TypeError(f"a Secret holds a str, not a {type(value).__name__}")
        self._value: str | None = value
        self._name = ""
        hide(value)

    @classmethod
    def env(cls, name: str) -> Secret:
        """The secret in the environment variable `name`, wherever its value is asked for."""
        if not isinstance(name, str):
            raise TypeError(f"Secret.env() takes the name of an environment variable, not {name!r}")
        secret = object.__new__(cls)
        secret._value, secret._name = None, name
        if name in os.environ:
            hide(os.environ[name])
        return secret

    @classmethod
    def from_reference(cls, reference: Reference) -> Secret:
        """The secret that a value's reference table stands for. Raises `SecretForgotten`."""
        if reference.id.startswith(_ENVIRONMENT):
            return cls.env(reference.id.removeprefix(_ENVIRONMENT))
        try:
            return cls(_recalled[reference.id])
        except KeyError:
            raise SecretForgotten(
                "the value holds a Secret(...) that was in the engine's memory only, and the engine has been restarted"
                " since: run it again, and pass Secret.env(NAME), which is read where it is used"
            ) from None

    def reference(self) -> Reference:
        """What represents it in the reference table of an encoded value. Raises `RuntimeError` without an engine."""
        from coflux.encoded import Reference

        if self._value is None:
            return Reference("secret", _ENVIRONMENT + self._name)
        engine = backend.current()
        keep = _keep.get() if engine is None else engine.keep_secret
        if keep is None:
            raise RuntimeError(f"{self!r} is sent as a reference to what an engine holds, and there is none here")
        return Reference("secret", keep(self._value))

    @property
    def value(self) -> str:
        """The text. Raises `LookupError` when the environment variable is not set."""
        if self._value is not None:
            return self._value
        try:
            value = os.environ[self._name]
        except KeyError:
            raise LookupError(f"the environment variable {self._name} of a Secret is not set") from None
        hide(value)
        return value

    @property
    def variable(self) -> str | None:
        """The environment variable that it is read from; `None` for one that holds its text."""
        return self._name if self._value is None else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if self._value is None or other._value is None:
            return self._value is other._value and self._name == other._name
        from hmac import compare_digest  # which takes as long wherever they differ

        own, others = (text.encode("utf-8", "surrogatepass") for text in (self._value, other._value))
        return compare_digest(own, others)

    def __hash__(self) -> int:
        return hash((self._name, self._value))

    def __repr__(self) -> str:
        return "Secret('***')" if self._value is not None else f"Secret.env({self._name!r})"

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> tuple[Callable[[str], Secret], tuple[str]]:
        if self._value is None:
            return Secret.env, (self._name,)
        raise TypeError(
            f"cannot pickle {self!r}, which must not be stored: pass it as an argument or return it, coflux sends it as"
            " a reference"
        )


@contextmanager
def keeping(keep: Keep) -> Iterator[None]:
    """In this block, outside executions, secrets that are encoded are given to `keep`."""
    token = _keep.set(keep)
    try:
        yield
    finally:
        _keep.reset(token)


def recall(secrets: Mapping[str, str]) -> None:
    """Take in what the engine holds, by id."""
    _recalled.update(secrets)
    THIS_PROCESS.add(secrets.values())


def hide(value: str) -> None:
    """See to it that neither this process nor the engine shows a text, before anybody can print it. "" is none."""
    if not value or value in THIS_PROCESS:
        return
    engine = backend.current()
    if engine is not None:
        engine.hide(value)
    THIS_PROCESS.add((value,))
