"""Words of a command line become a target's arguments, as its annotations say."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

import coflux as cf
from coflux.cli.options import seconds
from coflux.executor.arguments import ArgumentError, bind

DIRECTORY = "/projects/here"


def bound(function: Callable[..., Any], *words: str, document: Any = None) -> tuple[object, ...]:
    encoded = None if document is None else json.dumps(document).encode()
    return bind(cf.task()(function), words, encoded, DIRECTORY)


def problem(function: Callable[..., Any], *words: str, document: Any = None) -> str:
    with pytest.raises(ArgumentError) as caught:
        bound(function, *words, document=document)
    message = str(caught.value)
    assert "\n" not in message
    return message


def taking(annotation: Any) -> Callable[..., Any]:
    """A function with one parameter, `x`."""

    def function(x): ...  # type: ignore[no-untyped-def]

    function.__annotations__ = {"x": annotation}
    return function


def word(annotation: Any, *texts: str) -> Any:
    return bound(taking(annotation), *(f"--x={text}" for text in texts))[0]


def from_json(annotation: Any, value: Any) -> Any:
    return bound(taking(annotation), document={"x": value})[0]


# -- which word is for which parameter --------------------------------------------------------------------------------


def load(name: str, n: int, date: dt.date = dt.date(2000, 1, 1), *, dry_run: bool = False) -> None: ...


LOADED = ("Joe", 5, dt.date(2026, 1, 1), False)
SIGNATURE = "load(name: str, n: int, date: dt.date = datetime.date(2000, 1, 1), *, dry_run: bool = False)"


@pytest.mark.parametrize(
    "line",
    [
        "--name Joe --n 5 --date 2026-01-01",
        "Joe 5 2026-01-01",
        "name=Joe n=5 date=2026-01-01",
        "--date=2026-01-01 Joe --n=5",
        "Joe --date 2026-01-01 5",
        "--date 2026-01-01 -- Joe 5",
        "--no-dry-run Joe 5 2026-01-01",
        "--dry-run no Joe 5 2026-01-01",
        "--dry_run=0 Joe 5 2026-01-01",
    ],
)
def test_ways_to_write_a_call(line: str) -> None:
    assert bound(load, *line.split()) == LOADED


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", f"argument name is missing: {SIGNATURE}"),
        ("Joe", f"argument n is missing: {SIGNATURE}"),
        ("Joe five", "argument n: 'five' is not a whole number"),
        ("Joe 1.5", "argument n: '1.5' is not a whole number"),
        ("Joe 5 2026-13-01", "argument date: '2026-13-01' is not a date: month must be in 1..12"),
        ("Joe 5 2026-01-01 no", f"'no' is one argument too many: {SIGNATURE}"),
        ("Joe 5 --dry-rum", f"there is no argument '--dry-rum' (did you mean dry_run?): {SIGNATURE}"),
        ("Joe 5 -x", f"unknown option '-x' (put -- before words that start with -): {SIGNATURE}"),
        ("Joe 5 --name Jim name=Jo", "argument name is given twice: 'Jim' and 'Jo'"),
        ("Joe 5 --dry-run --no-dry-run", "argument dry_run is given twice: 'true' and 'false'"),
        ("Joe 5 --no-dry-run=1", "--no-dry-run takes no value, but was given '1'"),
        ("Joe 5 --dry-run=maybe", "argument dry_run: 'maybe' is not true or false"),
        ("Joe 5 --date", "--date needs a value: a date like 2026-01-31"),
        ("Joe 5 --date --dry-run", "--date needs a value: a date like 2026-01-31 (--date=VALUE if it starts with --)"),
    ],
)
def test_a_wrong_call_is_told_in_a_line(line: str, message: str) -> None:
    assert problem(load, *line.split()) == message


def test_a_long_signature_is_cut_off() -> None:
    def many(a: int, b: str = "x" * 200, c: str = "y" * 200) -> None: ...

    message = problem(many)
    assert message.startswith("argument a is missing: many(a: int, b: str = 'xxx")
    assert len(message) < 330


def test_a_flag_leaves_words_alone_that_are_not_its_own() -> None:
    assert bound(load, "--dry-run", "Joe", "1") == ("Joe", 1, dt.date(2000, 1, 1), True)


@pytest.mark.parametrize("text", ["-5", "-.5", "-1e3", "-inf", "-NaN"])
def test_negative_numbers_are_no_options(text: str) -> None:
    assert repr(bound(taking(float), text)) == repr((float(text),))


@pytest.mark.parametrize("text", ["-x", "--x", "x=1", "--", "-", "--no-x"])
def test_every_word_after_two_dashes_is_positional(text: str) -> None:
    assert bound(taking(str), "--", text) == (text,)


def test_only_parameters_are_assigned_to() -> None:
    assert bound(taking(str), "y=1") == ("y=1",)
    assert bound(taking(str), "x=a=b") == ("a=b",)


def everything(a: int, /, b: int = 2, *rest: dt.date, c: int = 3, **extra: bool) -> None: ...


def test_every_kind_of_parameter() -> None:
    days = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
    assert bound(everything, "1") == (1, 2, (), 3, {})
    assert bound(everything, "1", "5", "2026-01-01", "2026-01-02", "--c", "7") == (1, 5, days, 7, {})
    assert bound(everything, "--a=1", "--some-thing", "--other=no") == (
        1,
        2,
        (),
        3,
        {"some_thing": True, "other": False},
    )
    assert problem(everything, "1", "5", "2026-01-01", "x") == "argument rest[1]: 'x' is not a date like 2026-01-31"
    assert problem(everything, "1", "--other=5") == "argument other: '5' is not true or false"


def test_a_name_that_only_kwargs_knows_is_a_keyword() -> None:
    """`name=value` means what `--name value` means; `--` is for words by position that look like one."""

    def function(a: str, *rest: str, **extra: float) -> None: ...

    assert bound(function, "x", "--foo", "1.5", "bar=2") == ("x", (), {"foo": 1.5, "bar": 2.0})
    assert bound(function, "bar=2", "x", "y") == ("x", ("y",), {"bar": 2.0})
    assert bound(function, "--", "x=1", "bar=2") == ("x=1", ("bar=2",), {})
    assert bound(function, "x-y=1", "=2", "1x=3", "é=4") == ("x-y=1", ("=2", "1x=3"), {"é": 4.0})
    assert problem(function, "x", "bar=2", "--bar=3") == "argument bar is given twice: '2' and '3'"


def test_without_kwargs_an_unknown_name_is_a_word_with_an_equals_sign() -> None:
    def function(*rest: str) -> None: ...

    assert bound(function, "bar=2") == (("bar=2",),)


def test_a_name_that_begins_with_no() -> None:
    def function(flag: bool = True, no_flag: bool = False) -> None: ...

    assert bound(function, "--no-flag") == (True, True)


# -- the document -----------------------------------------------------------------------------------------------------


def test_a_document_gives_arguments_by_name_or_position() -> None:
    assert bound(load, document={"name": "Joe", "n": 5, "date": "2026-01-01"}) == LOADED
    assert bound(load, document=["Joe", 5, "2026-01-01"]) == LOADED
    assert bound(everything, document=[1, 2, "2026-01-01"]) == (1, 2, (dt.date(2026, 1, 1),), 3, {})
    assert bound(everything, document={"a": 1, "z": True}) == (1, 2, (), 3, {"z": True})


def test_words_go_where_the_document_has_nothing() -> None:
    assert bound(load, "5", "2026-01-01", document={"name": "Joe"}) == LOADED
    assert bound(load, "--n=5", "2026-01-01", document=["Joe"]) == LOADED
    assert problem(load, "--name=Jim", document=["Joe"]) == "argument name is given twice: 'Joe' and 'Jim'"
    assert problem(load, "n=6", document={"n": 5}) == "argument n is given twice: 5 and '6'"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"{", "--args: '{' is not JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
        (b"5", "--args: a JSON object (arguments by name) or array (by position) is needed"),
        (b'{"n": 1, "n": 2}', "--args: an object has the key 'n' twice"),
        (b'{"nn": 1}', f"there is no argument 'nn' (did you mean n?): {SIGNATURE}"),
        (b'["Joe", "5"]', "argument n: '5' is not a whole number"),
        (b'["Joe", 1.5]', "argument n: 1.5 is not a whole number"),
        (b'["Joe", true]', "argument n: True is not a whole number"),
        (b'["Joe", 5, null, 6]', f"6 is one argument too many: {SIGNATURE}"),
    ],
)
def test_a_wrong_document(document: bytes, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        bind(cf.task()(load), (), document, DIRECTORY)
    assert str(caught.value) == message


def test_text_that_is_no_unicode() -> None:
    with pytest.raises(ArgumentError, match=r"--args: .*can't decode byte 0xff"):
        bind(cf.task()(load), (), b'["\xff"]', DIRECTORY)


# -- words by annotation ----------------------------------------------------------------------------------------------


class Color(Enum):
    RED = 1
    GREEN = "green"
    BLUE = (0, 0, 255)


class Level(IntEnum):
    LOW = 10
    HIGH = 20


class Permission(Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Node:
    name: str
    when: dt.date | None = None
    home: Path = Path("nowhere")
    children: list[Node] = dataclasses.field(default_factory=list)
    size: dataclasses.InitVar[int] = 0

    def __post_init__(self, size: int) -> None:
        if not self.name:
            raise ValueError("a node needs a name,\nand this one has none")


class Point(NamedTuple):
    x: float
    y: float = 0


class Options(TypedDict, total=False):
    limit: int
    since: dt.date
    label: NotRequired[str]


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


T = TypeVar("T")


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class Celsius(float):
    pass


class Tags(list[str]):
    pass


UserId = NewType("UserId", int)
Alias = TypeAliasType("Alias", Annotated[list[dt.date], "sorted"])
Pair = TypeAliasType("Pair", dict[str, tuple[T, T]], type_params=(T,))

NEW_YEAR = dt.date(2026, 1, 1)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, '"x"', '"x"'),
        (str, "5", "5"),
        (str, "", ""),
        (int, "123456789012345678901234567890", 123456789012345678901234567890),
        (float, "5", 5.0),
        (bool, "YES", True),
        (bool, "0", False),
        (None, "null", None),
        (Decimal, "0.10", Decimal("0.10")),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678123456781234567812345678")),
        (dt.date, "2026-01-01", NEW_YEAR),
        (dt.datetime, "2026-01-01", dt.datetime(2026, 1, 1)),
        (dt.datetime, "2026-01-01T10:00Z", dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC)),
        (dt.time, "08:30", dt.time(8, 30)),
        (dt.timedelta, "90", dt.timedelta(seconds=90)),
        (dt.timedelta, "1.5", dt.timedelta(seconds=1.5)),
        (dt.timedelta, "1h30m", dt.timedelta(hours=1, minutes=30)),
        (dt.timedelta, "-2d0.5s", -dt.timedelta(days=2, seconds=0.5)),
        (dt.timedelta, "1w250ms", dt.timedelta(weeks=1, milliseconds=250)),
        (Path, "a/b", Path("/projects/here/a/b")),
        (Path, "/etc", Path("/etc")),
        (os.PathLike, "a", Path("/projects/here/a")),
        (Celsius, "5", Celsius(5)),
        (Color, "RED", Color.RED),
        (Color, "1", Color.RED),
        (Color, "green", Color.GREEN),
        (Color, "0,0,255", Color.BLUE),
        (Level, "20", Level.HIGH),
        (Permission, "3", Permission.READ | Permission.WRITE),
        (Literal["a", 1, None], "a", "a"),
        (Literal["a", 1, None], "1", 1),
        (Literal["a", 1, None], "none", None),
        (Literal[Level.LOW], "LOW", Level.LOW),
        (Annotated[int, "positive"], "5", 5),
        (UserId, "5", 5),
        (T, "5", 5),
    ],
)
def test_simple_types(annotation: Any, text: str, value: object) -> None:
    read = word(annotation, text)
    assert (read, type(read)) == (value, type(value))


# `Absent` is as a name that is imported under `if TYPE_CHECKING`.
@pytest.mark.parametrize("annotation", [Any, object, "Absent", "list[Absent]", "no annotation("])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("1.5", 1.5),
        ("abc", "abc"),
        ('"x"', "x"),
        ("null", None),
        ("none", "none"),
        ("True", "True"),
        ("NaN", "NaN"),
        ("", ""),
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("[1,2", "[1,2"),
    ],
)
def test_without_a_type_a_word_is_json_or_itself(annotation: Any, text: str, value: object) -> None:
    assert word(annotation, text) == value


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Optional["int"], "none", None),
        (int | None, "5", 5),
        (str | None, "none", "none"),
        (int | str | None, "null", None),
        (str | int, "5", 5),
        (str | int, "five", "five"),
        (int | float, "5", 5),
        (float | int, "1.0", 1.0),
        (bool | int, "1", 1),
        (bool | int, "yes", True),
        (dt.datetime | dt.date, "2026-01-01", NEW_YEAR),
        (dt.datetime | dt.date, "2026-01-01T00:00", dt.datetime(2026, 1, 1)),
        (float | dt.timedelta, "1h", dt.timedelta(hours=1)),
        (str | Path, "a", Path("/projects/here/a")),
        (Level | str, "LOW", Level.LOW),
        (Literal["auto"] | int, "auto", "auto"),
        (int | list[int], "1", 1),
        (int | list[int], "1,2", [1, 2]),
        (str | list[str], "a,b", "a,b"),
        (str | list[str], '["a"]', ["a"]),
        (Point | str, '{"x": 1}', Point(1)),
        (cf.Execution[int] | int, "5", 5),
    ],
)
def test_unions_take_the_most_specific(annotation: Any, text: str, value: object) -> None:
    read = word(annotation, text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (list[int], "[1, 2]", [1, 2]),
        (list[int], "1,2", [1, 2]),
        (list[int], "", []),
        (list[str], "a, b", ["a", "b"]),
        (list[str], '["a,b"]', ["a,b"]),
        (list[dt.date], '["2026-01-01"]', [NEW_YEAR]),
        (list, "1,a", [1, "a"]),
        (list, '{"a": 1, "b": 2}', [{"a": 1, "b": 2}]),
        (list[int] | None, "1,2", [1, 2]),
        (list[int | None], "1,null", [1, None]),
        (list[list[int]], "[[1], [2, 3]]", [[1], [2, 3]]),
        (list[Path], "a,/b", [Path("/projects/here/a"), Path("/b")]),
        (Tags, "a,b", Tags(["a", "b"])),
        (tuple[int, ...], "1,2,3", (1, 2, 3)),
        (tuple[int, str], "1,a", (1, "a")),
        (tuple[int, list[str]], '[1, ["a"]]', (1, ["a"])),
        (set[int], "1,2,1", {1, 2}),
        (frozenset[str], "a", frozenset({"a"})),
        (collections.deque[int], "1,2", collections.deque([1, 2])),
        (Sequence[float], "1,2", [1.0, 2.0]),
        (Iterable[int], "[1]", [1]),
        (dict, '{"5": 1}', {"5": 1}),
        (dict[int, dt.timedelta], '{"5": "1h", "6": 90}', {5: dt.timedelta(hours=1), 6: dt.timedelta(seconds=90)}),
        (Mapping[Color, list[Path]], '{"RED": ["a"]}', {Color.RED: [Path("/projects/here/a")]}),
        (collections.OrderedDict[str, int], '{"a": 1}', collections.OrderedDict(a=1)),
        (Point, '{"x": 1}', Point(1.0)),
        (Options, '{"since": "2026-01-01"}', {"since": NEW_YEAR}),
        (Movie, '{"title": "Alien"}', {"title": "Alien"}),
        (Box[dt.date], '{"content": "2026-01-01"}', Box(NEW_YEAR)),
        (Alias, "2026-01-01,2026-01-01", [NEW_YEAR, NEW_YEAR]),
        (Pair[float], '{"a": [1, 2]}', {"a": (1.0, 2.0)}),
        (
            Node,
            '{"name": "a", "when": "2026-01-01", "home": "h", "size": 5, "children": [{"name": "b"}]}',
            Node("a", NEW_YEAR, Path("/projects/here/h"), [Node("b")]),
        ),
    ],
)
def test_containers(annotation: Any, text: str, value: object) -> None:
    read = word(annotation, text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("text", ["90", "1.5", "1h30m", "1w250ms"])
def test_options_and_arguments_read_durations_alike(text: str) -> None:
    @click.command()
    @click.option("--delay", callback=seconds)
    def command(delay: float) -> float:
        return delay

    (duration,) = bound(taking(dt.timedelta), text)
    assert isinstance(duration, dt.timedelta)
    assert command.main(["--delay", text], standalone_mode=False) == duration.total_seconds()


def test_a_repeated_option_adds_to_a_list() -> None:
    assert word(list[str], "a", "b,c", '["d,e"]') == ["a", "b", "c", "d,e"]
    assert word(tuple[int, str], "1", "a") == (1, "a")
    assert word(str | list[str], "a", "b") == ["a", "b"]
    assert word(set[int] | None, "1", "2") == {1, 2}
    assert word(list[Point], '{"x": 1}', '{"x": 2}') == [Point(1), Point(2)]
    assert problem(taking(list[int]), "--x=1", "--x=2,a").startswith("argument x[2]: 'a' is not")
    assert problem(taking(list[int]), "--x=1", document={"x": [2]}) == "argument x is given twice: [2] and '1'"


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (float, "five", "x: 'five' is not a number"),
        (Decimal, "five", "x: 'five' is not a decimal number"),
        (UUID, "5", "x: '5' is not a UUID"),
        (dt.timedelta, "1y", "x: '1y' is not a duration: seconds, or like 1h30m"),
        (dt.timedelta, "h", "x: 'h' is not a duration: seconds, or like 1h30m"),
        (dt.timedelta, "inf", "x: 'inf' is too big for a duration"),
        (dt.timedelta, "99999999999w", "x: '99999999999w' is too big for a duration"),
        (dt.date, "2024-02-31", "x: '2024-02-31' is not a date: day is out of range for month"),
        (dt.date, "31.12.2024", "x: '31.12.2024' is not a date like 2026-01-31"),
        (dt.datetime, "2024-02-31T10:00", "x: '2024-02-31T10:00' is not a date and time: day is out of range"),
        (dt.datetime, "2024-01-01T25:00", "x: '2024-01-01T25:00' is not a date and time: hour must be in 0..23"),
        (dt.datetime, "noon", "x: 'noon' is not a date and time like 2026-01-31T08:30"),
        (dt.time, "08:60", "x: '08:60' is not a time: minute must be in 0..59"),
        (dt.date | None, "2024-02-31", "x: '2024-02-31' is not a date: day is out of range for month"),
        (int | dt.date, "2024-02-31", "x: '2024-02-31' is not a date: day is out of range for month"),
        (list[dt.date], "2024-02-28,2024-02-31", "x[1]: '2024-02-31' is not a date: day is out of range for month"),
        (Path, "", "x: '' is not a path"),
        (Color, "pink", "x: 'pink' is not one of RED, GREEN, BLUE"),
        (Literal["a", 1], "b", "x: 'b' is not one of 'a', 1"),
        (Literal["auto"], "b", "x: 'b' is not 'auto'"),
        (int | None, "five", "x: 'five' is not a whole number or null"),
        (Color | int, "pink", "x: 'pink' is not one of RED, GREEN, BLUE or a whole number"),
        (Movie | None, "{}", "x: {} has no 'title', which Movie needs"),
        (int | Movie, "x", "x: 'x' is not a JSON object for Movie or a whole number"),
        (
            int | Movie,
            '{"title"',
            "x: '{\"title\"' is not a JSON object for Movie: Expecting ':' delimiter: line 1 column 9",
        ),
        (list[int], "1,a", "x[1]: 'a' is not a whole number"),
        (list[int] | None, '[1, "2"]', "x[1]: '2' is not a whole number"),
        (list[int], "[1,", "x: '[1,' is not a list: Expecting value: line 1 column 4"),
        (dict[str, int], "a=1", "x: 'a=1' is not a JSON object: Expecting value: line 1 column 1"),
        (tuple[int, str], "1", "x: '1' does not have 2 elements, but 1"),
        (tuple[int, str], "[1,2,3]", "x[1]: 2 is not a text"),
        (dict[str, int], "5", "x: 5 is not a JSON object"),
        (dict[str, list[int]], '{"a": [1, null]}', "x['a'][1]: None is not a whole number"),
        (dict[int, int], '{"1": 1, "01": 2}', "x['01']: '01' is a key that is there already"),
        (dict[str, int], '{"a": 1, "a": 2}', "x: an object has the key 'a' twice"),
        (set[Any], "[[1]]", "x: [[1]] is refused: TypeError: unhashable type: 'list'"),
        (Node, '{"nme": "a"}', "x: Node has no field 'nme' (did you mean name?)"),
        (Node, "{}", "x: {} has no 'name', which Node needs"),
        (Node, '{"name": "a", "children": [{"name": 5}]}', "x.children[0].name: 5 is not a text"),
        (Movie, '{"year": 1979}', "x: {'year': 1979} has no 'title', which Movie needs"),
        (Node, '{"name": ""}', r"x: {'name': ''} is refused: ValueError: a node needs a name,\nand this one has none"),
        (int, "1" * 5000, f"x: '{'1' * 198}… is not a whole number: Exceeds the limit (4300 digits)"),
        (Any, "1" * 5000, f"x: '{'1' * 198}… is not JSON: Exceeds the limit (4300 digits)"),
        (Any, "[" * 100_000, f"x: '{'[' * 198}… is nested too deeply"),
        (cf.Execution[int], "5", "x: '5' is not of type Execution (which cannot be given on the command line)"),
    ],
)
def test_a_bad_word_is_shown_with_its_place(annotation: Any, text: str, message: str) -> None:
    assert problem(taking(annotation), f"--x={text}").startswith(f"argument {message}")


def test_none_is_allowed_where_it_is_the_default() -> None:
    def function(x: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013 (that is the point)

    assert bound(function, "none") == bound(function, document=[None]) == (None,)


def test_an_alias_of_itself() -> None:
    class TypeAliasType:
        """What `type Tree = int | list[Tree]` makes, from Python 3.12 on: the value is computed when it is needed."""

        __name__ = "Tree"
        __type_params__ = ()

        @property
        def __value__(self) -> Any:
            return int | list[self]  # type: ignore[valid-type]

    tree = TypeAliasType()
    assert from_json(tree, [1, [2, [3]]]) == [1, [2, [3]]]
    assert problem(taking(dict[str, tree]), document=[{"a": [1, ["x"]]}]).startswith("argument x['a'][1][0]: 'x' is")  # type: ignore[valid-type]


# -- values in JSON ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "given_value", "value"),
    [
        (float, 5, 5.0),
        (float, "Infinity", float("inf")),
        (Decimal, 0.1, Decimal("0.1")),
        (Decimal, "0.12345678901234567890", Decimal("0.12345678901234567890")),
        (dt.timedelta, 1.5, dt.timedelta(seconds=1.5)),
        (int | str, "5", "5"),
        (int | dt.date | str, "2026-01-01", NEW_YEAR),
        (str | None, None, None),
        (Color, [0, 0, 255], Color.BLUE),
        (Level, 10, Level.LOW),
        (Literal[1, True], True, True),
        (Path, "a", Path("/projects/here/a")),
        (Any, {"a": [1]}, {"a": [1]}),
    ],
)
def test_values_of_a_document(annotation: Any, given_value: Any, value: object) -> None:
    read = from_json(annotation, given_value)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, 5),
        (int, 1.0),
        (int, "5"),
        (int, None),
        (float, "1.5"),
        (float, True),
        (float, 10**400),
        (bool, 1),
        (bool, "yes"),
        (dt.date, 5),
        (Level, True),
        (list[int], "1,2"),
        (list[int], {}),
        (dict[str, int], []),
        (Node, []),
    ],
)
def test_values_that_do_not_fit(annotation: Any, value: Any) -> None:
    assert problem(taking(annotation), document=[value]).startswith("argument x: ")


class Model:
    """Has pydantic's interface."""

    def __init__(self, source: str, content: object) -> None:
        self.read = (source, content)

    @classmethod
    def model_validate_json(cls, text: str) -> Model:
        if text == "{}":
            raise ValueError("empty")
        return cls("json", json.loads(text))


class OlderModel:
    @classmethod
    def model_validate(cls, value: object) -> tuple[str, object]:
        return ("value", value)


def test_models_read_json_themselves() -> None:
    assert word(Model, '{"a": 1}').read == ("json", {"a": 1})
    assert from_json(list[Model], [{"a": 1}])[0].read == ("json", {"a": 1})
    assert word(OlderModel, "[1]") == from_json(OlderModel, [1]) == ("value", [1])
    assert problem(taking(list[Model]), document=[[{}]]) == "argument x[0]: {} is refused: ValueError: empty"


def test_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Config", port=(int, ...), days=(list[dt.date], []))
    config = model(port=5, days=[NEW_YEAR])
    assert word(model, '{"port": 5, "days": ["2026-01-01"]}') == config
    assert from_json(dict[str, model], {"a": {"port": 5, "days": ["2026-01-01"]}}) == {"a": config}  # type: ignore[valid-type]
    message = problem(taking(list[model]), document=[[{"port": 1}, {"port": "x"}]])  # type: ignore[valid-type]
    assert message.startswith("argument x[1].port: 'x' is refused: Input should be a valid integer")
    assert problem(taking(model), "{}") == "argument x: {} has no 'port', which is required"
    assert problem(taking(model), "5") == "argument x: 5 is refused: Input should be an object"
    assert problem(taking(model), "a=5") == "argument x: 'a=5' is not JSON for Config: Expecting value: line 1 column 1"


# -- size and round trips ---------------------------------------------------------------------------------------------


def test_words_of_megabytes() -> None:
    text = "x" * 5_000_000
    assert word(str, text) == word(Any, text) == text
    assert word(list[int], ",".join(["7"] * 500_000)) == [7] * 500_000
    assert word(list[float], json.dumps([0.5] * 500_000)) == [0.5] * 500_000
    for annotation in (int, float, dt.date, dt.timedelta, Color, Node, bool | None):
        assert len(problem(taking(annotation), "--", text)) < 500
    assert len(problem(taking(str), f"--{text}")) < 500


class Typed(NamedTuple):
    """An annotation, a value of it, and how that is written as a word and in JSON."""

    annotation: Any
    value: Any
    word: str
    json: Any


def typed(annotation: Any, values: st.SearchStrategy[Any], write: Callable[[Any], str]) -> st.SearchStrategy[Typed]:
    return values.map(lambda value: Typed(annotation, value, write(value), write(value)))


def plain(annotation: Any, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Typed]:
    return values.map(lambda value: Typed(annotation, value, json.dumps(value), value))


days = st.timedeltas(dt.timedelta(-90_000), dt.timedelta(90_000))  # longer ones lose microseconds as seconds
scalars = st.one_of(
    typed(str, st.text(), str),
    plain(int, st.integers()),
    plain(float, st.floats(allow_nan=False, allow_infinity=False)),
    plain(bool, st.booleans()),
    typed(Decimal, st.decimals(allow_nan=False), str),
    typed(UUID, st.uuids(), str),
    typed(dt.date, st.dates(), dt.date.isoformat),
    typed(dt.datetime, st.datetimes(timezones=st.sampled_from([None, dt.UTC])), dt.datetime.isoformat),
    typed(dt.time, st.times(), dt.time.isoformat),
    typed(dt.timedelta, days, lambda value: repr(value.total_seconds())),
    typed(Color, st.sampled_from(Color), lambda value: value.name),
    typed(Literal["a", "b"], st.sampled_from(["a", "b"]), str),
    typed(Path, st.sampled_from(["/", "/a", "/a b/c"]).map(Path), str),
    plain(
        Any,
        st.recursive(
            st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        ),
    ),
)


def container(annotation: Any, value: Any, written: Any) -> Typed:
    return Typed(annotation, value, json.dumps(written), written)


def containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    return st.one_of(
        inner.map(lambda one: container(list[one.annotation], [one.value, one.value], [one.json, one.json])),  # type: ignore[name-defined]
        inner.map(lambda one: container(tuple[one.annotation, ...], (one.value,), [one.json])),  # type: ignore[name-defined]
        st.tuples(inner, inner).map(
            lambda two: container(
                tuple[two[0].annotation, two[1].annotation],  # type: ignore[misc]
                (two[0].value, two[1].value),
                [two[0].json, two[1].json],
            )
        ),
        inner.map(lambda one: container(dict[str, one.annotation], {"k": one.value}, {"k": one.json})),  # type: ignore[name-defined]
        inner.map(lambda one: container(Box[one.annotation], Box(one.value), {"content": one.json})),  # type: ignore[name-defined]
        inner.filter(lambda one: one.json is not None).map(lambda one: one._replace(annotation=one.annotation | None)),
    )


anything_typed = st.recursive(scalars, containers, max_leaves=4)


@given(st.lists(anything_typed, min_size=1, max_size=4), st.data())
def test_what_is_written_is_read(arguments: list[Typed], data: st.DataObject) -> None:
    names = [f"parameter_{index}" for index in range(len(arguments))]
    namespace: dict[str, Any] = {}
    exec(f"def function({', '.join(names)}): ...", namespace)
    function = namespace["function"]
    function.__annotations__ = {name: one.annotation for name, one in zip(names, arguments, strict=True)}
    options: list[str] = []
    positional: list[str] = []
    document: dict[str, Any] = {}
    for name, one in zip(names, arguments, strict=True):
        match data.draw(st.integers(0, 3)):
            case 0:
                options.append(f"{name}={one.word}")
            case 1:
                options.append(f"--{name.replace('_', '-')}={one.word}")
            case 2:
                positional.append(one.word)
            case 3:
                document[name] = one.json
    read = bound(function, *options, "--", *positional, document=document)
    assert read == tuple(one.value for one in arguments)
    assert [type(value) for value in read] == [type(one.value) for one in arguments]
