"""What reads values, what it says when one does not fit, and what both kinds of converters need."""

from __future__ import annotations

import collections
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from coflux.previews import message_of, preview

__all__ = ["Converter", "Misfit", "called", "parse_json"]

MESSAGE_LIMIT = 500  # characters of a message that the user's code wrote


class Misfit(Exception):
    """A value does not fit.

    Attributes:
        reason: what was given, and what is wrong with it.
        path: leads to the value from the argument's beginning: `[3].port`, or "" for all of it.
        is_near: the value has the form that was expected, but for one thing, which `reason` tells.
    """

    def __init__(self, reason: str, path: str = "", *, is_near: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path
        self.is_near = is_near

    def inside(self, step: str) -> Misfit:
        """The same, seen from the container that has the value at `step`."""
        self.path = step + self.path
        self.is_near = True
        return self


class Converter:
    """How the values of one annotation are read.

    Attributes:
        expected: what fits, for errors: `"a whole number"`.
        rank: its place among the members of a union; lower ones are tried first.
        is_scalar: whether several fit into one word, with commas between them.
        is_flag: whether `--name` alone means true.
        takes_many: whether a repeated `--name` adds to the value, by `words`.
    """

    expected = "a value"
    rank = -1  # before the scalars, which take nearly every word
    is_scalar = False
    is_flag = False
    takes_many = False

    def word(self, text: str) -> Any:
        """The value that a word means: JSON text, where the type has no form of its own. Raises `Misfit`."""
        return self.json(parse_json(text, expected=self.expected))

    def words(self, texts: Sequence[str]) -> Any:
        """The value that one or several words mean together. Raises `Misfit`."""
        return self.word(texts[0])

    def json(self, value: Any) -> Any:
        """The value that a JSON value means. Raises `Misfit`."""
        raise NotImplementedError

    def misfit(self, value: object) -> Misfit:
        return Misfit(f"{preview(value)} is not {self.expected}", is_near=False)


def parse_json(text: str, parse_constant: Callable[[str], Any] | None = None, expected: str = "JSON") -> Any:
    """What `json.loads` reads, except that two equal keys in an object are an error. Raises `Misfit`."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=parse_constant)
    except RecursionError:
        raise Misfit(f"{preview(text)} is nested too deeply") from None
    except ValueError as error:
        problem, _, _ = str(error).partition(" (char ")
        looks_like_json = text.lstrip().startswith(("{", "["))
        raise Misfit(f"{preview(text)} is not {expected}: {problem}", is_near=looks_like_json) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        [(key, _)] = collections.Counter(key for key, _ in pairs).most_common(1)
        raise Misfit(f"an object has the key {preview(key)} twice")
    return result


def called(given: object, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The user's own constructor or validator, which may refuse what was given."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise _refusal(given, error) from error


def _refusal(value: object, error: Exception) -> Misfit:
    """What `error` says; a pydantic error by the first of its details."""
    pydantic_core = sys.modules.get("pydantic_core")
    if pydantic_core is None or not isinstance(error, pydantic_core.ValidationError):
        return Misfit(f"{preview(value)} is refused: {type(error).__name__}: {message_of(error)[:MESSAGE_LIMIT]}")
    first = error.errors()[0]
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]]
    if first["type"] == "missing":
        return Misfit(f"{preview(first['input'])} has no {first['loc'][-1]!r}, which is required", "".join(steps[:-1]))
    return Misfit(f"{preview(first['input'])} is refused: {first['msg']}", "".join(steps))
