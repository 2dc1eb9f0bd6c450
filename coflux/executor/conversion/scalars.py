"""The simple types: `scalar_rows` is their table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path, PurePath
from types import NoneType
from typing import Any, NamedTuple
from uuid import UUID

from coflux.durations import FORM, parse_duration
from coflux.executor.conversion.base import Converter, Misfit, called
from coflux.previews import preview
from coflux.secret import Secret

__all__ = ["BOOLEANS", "Scalar", "ScalarRow", "scalar_rows"]

BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NON_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})  # what results are printed with: JSON has no such numbers


def _same(value: Any) -> Any:
    return value


def _null(text: str) -> None:
    if text.casefold() not in ("null", "none"):
        raise ValueError


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        if text.strip().lstrip("+-").isdigit():  # refused for its length, as converting takes minutes
            raise Misfit(f"{preview(text)} is not a whole number: {error}") from None
        raise


def _non_finite(text: str) -> float:
    if text not in _NON_FINITE:
        raise ValueError
    return float(text)


def _boolean(text: str) -> bool:
    if (value := BOOLEANS.get(text.casefold())) is None:
        raise ValueError
    return value


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def _decimal(number: float) -> Decimal:
    """By its shortest digits, which are those that were written, up to 15 of them. More have to be in quotes."""
    return Decimal(repr(number))


def _on_calendar(kind: str, read: Callable[[str], Any], text: str) -> Any:
    """A date or time in ISO 8601. One that is written as it should be, but does not exist, is told apart."""
    try:
        return read(text)
    except ValueError as error:
        if "isoformat" in str(error):
            raise
        raise Misfit(f"{preview(text)} is not {kind}: {error}") from None


def _path(directory: str, text: str) -> Path:
    if not text:  # rather an unset shell variable than the directory itself
        raise ValueError
    return Path(directory, text)


def _secret(text: str) -> Secret:
    kind, _, name = text.partition(":")
    if kind != "env" or not name:
        # Without the text: it may be the secret.
        raise Misfit("a secret is given as env:NAME, the environment variable that holds it")
    return Secret.env(name)


class ScalarRow(NamedTuple):
    """A simple type: what it is called and how it is written, how a word is read, and how a JSON value is, by type."""

    cls: type
    kind: str
    form: str
    word: Callable[[str], Any]
    json: Mapping[type, Callable[[Any], Any]]


def scalar_rows(directory: str) -> tuple[ScalarRow, ...]:
    """The most specific first, as unions try them. Readers raise `ValueError`, `ArithmeticError` or `Misfit`."""
    path = partial(_path, directory)
    day = partial(_on_calendar, "a date", date.fromisoformat)
    moment = partial(_on_calendar, "a date and time", datetime.fromisoformat)
    clock = partial(_on_calendar, "a time", time.fromisoformat)
    return (
        ScalarRow(NoneType, "null", "", _null, {NoneType: _same}),
        ScalarRow(int, "a whole number", "", _whole_number, {int: _same}),
        ScalarRow(float, "a number", "", float, {float: _same, int: float, str: _non_finite}),
        ScalarRow(Decimal, "a decimal number", "", Decimal, {str: Decimal, int: Decimal, float: _decimal}),
        ScalarRow(bool, "true or false", "", _boolean, {bool: _same}),
        ScalarRow(UUID, "a UUID", "", UUID, {str: UUID}),
        ScalarRow(date, "a date", " like 2026-01-31", day, {str: day}),
        ScalarRow(datetime, "a date and time", " like 2026-01-31T08:30", moment, {str: moment}),
        ScalarRow(time, "a time", " like 08:30", clock, {str: clock}),
        ScalarRow(
            timedelta,
            "a duration",
            f": {FORM}",
            parse_duration,
            {str: parse_duration, int: _seconds, float: _seconds},
        ),
        ScalarRow(Secret, "a secret", " as env:NAME", _secret, {str: _secret}),
        ScalarRow(PurePath, "a path", "", path, {str: path}),
        ScalarRow(str, "a text", "", _same, {str: _same}),
    )


class Scalar(Converter):
    """`cls` is the row's class or inherits from it."""

    is_scalar = True

    def __init__(self, row: ScalarRow, rank: int, cls: type) -> None:
        self.expected = row.kind + row.form
        self.rank = rank
        self.is_flag = row.cls is bool
        self.row = row
        self._cls = cls

    def word(self, text: str) -> Any:
        return self._read(self.row.word, text)

    def json(self, value: Any) -> Any:
        reader = self.row.json.get(type(value))
        if reader is None:
            raise self.misfit(value)
        return self._read(reader, value)

    def _read(self, reader: Callable[[Any], Any], source: Any) -> Any:
        try:
            value = reader(source)
        except OverflowError:
            raise Misfit(f"{preview(source)} is too big for {self.row.kind}") from None
        except (ValueError, ArithmeticError):
            raise self.misfit(source) from None
        return value if isinstance(value, self._cls) else called(source, self._cls, value)
