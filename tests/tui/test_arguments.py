"""What is typed into a form, and the call that it makes: judged as the engine would."""

from __future__ import annotations

import enum
import inspect
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

import coflux as cf
from coflux import values
from coflux.executor.arguments import ArgumentError, bind, parameter_hints
from coflux.executor.conversion import Converters
from coflux.executor.conversion.shapes import shape_of
from coflux.executor.manifest import _describe
from coflux.executor.messages import Shape, TargetSpec
from coflux.failures import NoBlobs
from coflux.task_options import TaskOptions
from coflux.tui.arguments import NOTHING, Given, Slot, call_of, command_line, problems_of


class Color(enum.Enum):
    RED = "r"
    GREEN = "g"


@dataclass
class Place:
    x: int
    y: int = 0
    inner: Place | None = None


class Pair(NamedTuple):
    one: int
    two: str


class Options(TypedDict, total=False):
    level: int


def function(
    day: date,
    when: datetime | None = None,
    number: int = 3,
    name: str | None = None,
    title: str | None = "x",
    color: Color = Color.RED,
    mode: Literal["fast", "slow", 3] = "fast",
    dry_run: bool = False,
    place: Place | None = None,
    numbers: list[int] = [],  # noqa: B006
    table: dict[str, tuple[int, float]] = {},  # noqa: B006
    wait: timedelta = timedelta(0),
    price: Decimal = Decimal(1),
    path: Path = Path("/tmp"),
    pair: Pair = Pair(1, "a"),  # noqa: B008
    options: Options = {},  # noqa: B006
    anything: Any = None,
    *rest: int,
    key: cf.Secret | None = None,
    **more: float,
) -> None: ...


TARGET = cf.task()(function)
SLOTS = {slot.name: slot for slot in (Slot(one, "/work") for one in _describe(TARGET).parameters)}


def test_shapes_say_what_converters_take_and_survive_the_way_to_the_dashboard() -> None:
    for hint in parameter_hints(TARGET).values():
        shape = shape_of(Converters("/").of(hint))
        assert msgspec.json.decode(msgspec.json.encode(shape), type=Shape) == shape
    assert SLOTS["place"].parameter.shape.parts[0].names == ("x", "y", "inner")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("day", "2026-02-30"), ("day", "2026-02-28"), ("day", "soon"), ("when", "2026-01-01T08:30"), ("when", "x"),
        ("number", "7"), ("number", "7.5"), ("color", "RED"), ("color", "g"), ("color", "blue"), ("mode", "slow"),
        ("mode", "3"), ("mode", "4"), ("dry_run", "yes"), ("dry_run", "maybe"), ("place", '{"x": 1}'),
        ("place", '{"x": "a"}'), ("place", '{"z": 1}'), ("place", "{"), ("place", '{"x": 1, "inner": {"x": 2}}'),
        ("numbers", "1,2"), ("numbers", "[1, true]"), ("numbers", "1,b"), ("table", '{"a": [1, 2.5]}'),
        ("table", '{"a": [1]}'), ("wait", "1h30m"), ("wait", "1x"), ("price", "1.50"), ("price", "one"),
        ("pair", '{"one": 1, "two": "b"}'), ("pair", '{"one": 1}'),
        ("options", '{"level": 1}'), ("options", '{"l": 1}'),
        ("anything", "[1"), ("anything", "[1]"), ("name", "none"), ("rest", "1 2"), ("rest", "1 b"),
        ("more", "a=1"), ("more", "a=b"), ("key", "hunter2"), ("key", "env:TOKEN"),
    ],
)  # fmt: skip
def test_a_problem_is_told_where_the_engine_would_refuse_and_in_its_words(name: str, text: str) -> None:
    slot = SLOTS[name]
    entries = [Given(text) if one is slot else NOTHING for one in SLOTS.values()]
    if name != "day":
        entries[0] = Given("2026-01-31")
    if name == "rest":
        entries = [
            Given("2026-01-31"),
            *(_filled(one) for one in list(SLOTS.values())[1:-3]),
            Given(text),
            *entries[-2:],
        ]
    call = call_of(list(SLOTS.values()), entries) if name != "more" or "=" in text else call_of([], [])
    try:
        bind(TARGET, call.words, call.document, "/work")
        refused = ""
    except ArgumentError as error:
        refused = str(error)
    problem = slot.problem(Given(text))
    assert bool(problem) == bool(refused), refused
    assert problem.partition(": ")[2].rpartition(" is not ")[2] in refused


def _filled(slot: Slot) -> Given:
    """Anything that fits, since what is left out would be given what is meant for `*rest`."""
    samples = {
        "number": "1", "title": "", "color": "RED", "mode": "fast", "dry_run": "true", "numbers": "[]", "table": "{}",
        "wait": "1", "price": "1", "path": "/x", "pair": '{"one": 1, "two": ""}', "options": "{}",
    }  # fmt: skip
    return Given(samples[slot.name]) if slot.name in samples else Given(none=True)


def test_what_is_needed_is_said() -> None:
    slots = list(SLOTS.values())
    assert problems_of(slots, [NOTHING] * len(slots))[0] == "needed"
    entries = [Given("1 2") if slot.name == "rest" else NOTHING for slot in slots]
    assert problems_of(slots, entries)[2] == "needed, as *rest is given"
    assert SLOTS["rest"].problem(Given("'a")) == "a quote is not closed"
    assert SLOTS["more"].problem(Given("1a=3")) == "'1a' is not of the form NAME=VALUE"


def test_choices_and_what_an_empty_field_may_mean() -> None:
    assert SLOTS["color"].choices == ("RED", "GREEN")
    assert SLOTS["mode"].choices == ("fast", "slow", "3")
    assert SLOTS["dry_run"].choices == ("true", "false")
    assert SLOTS["name"].meanings() == (NOTHING, Given(""))  # the default is None
    assert SLOTS["title"].meanings() == (NOTHING, Given(none=True), Given(""))
    assert SLOTS["when"].meanings() == (NOTHING,)
    assert SLOTS["day"].meanings() == (NOTHING,)
    assert SLOTS["path"].is_path
    assert SLOTS["key"].is_secret


SPEC = TargetSpec("app.jobs", "load", "task", (), TaskOptions())


def test_the_command_is_the_one_that_starts_the_same_run() -> None:
    slots = [SLOTS[name] for name in ("day", "number", "name", "dry_run", "rest", "more")]
    entries = [Given("2026-01-31"), Given("-5"), Given(none=True), Given("false"), Given("1 2"), Given("a=1")]
    call = call_of(slots, entries)
    assert call.document == b'{"name": null}'
    assert command_line(SPEC, "", call, "/work") == (
        "echo '{\"name\": null}' | coflux run --args - app.jobs/load"
        " --day 2026-01-31 --number=-5 --no-dry-run a=1 -- 1 2"
    )
    call = call_of([SLOTS["name"], SLOTS["when"]], [Given("it's"), Given(none=True)])
    assert command_line(SPEC, "/work/app/jobs.py", call, "/work") == (
        "coflux run app/jobs.py/load --name 'it'\"'\"'s' --when none"
    )
    assert command_line(SPEC, "/other/jobs.py", call_of([], []), "/work") == "coflux run /other/jobs.py/load"


@pytest.mark.parametrize(
    ("name", "value", "given"),
    [
        ("day", date(2026, 1, 31), Given("2026-01-31")),
        ("day", datetime(2026, 1, 31), None),  # which is a date, too
        ("day", "2026-01-31", None),
        ("when", None, NOTHING),
        ("number", 3, NOTHING),
        ("number", 12, Given("12")),
        ("number", True, None),
        ("number", 12.0, None),
        ("name", "", Given("")),
        ("name", "x y", Given("x y")),
        ("color", Color.GREEN, Given("GREEN")),
        ("mode", "slow", Given("slow")),
        ("mode", 3, Given("3")),
        ("dry_run", True, Given("true")),
        ("place", Place(1, 2), Given('{"x": 1, "y": 2, "inner": null}')),
        ("place", {"x": 1}, None),
        ("numbers", [1, 2], Given("[1, 2]")),
        ("numbers", (1, 2), None),
        ("table", {"a": (1, 2.5)}, Given('{"a": [1, 2.5]}')),
        ("wait", timedelta(hours=1), Given("3600.0")),
        ("price", Decimal("1.50"), Given("1.50")),
        ("path", Path("/etc/x"), Given("/etc/x")),
        ("path", Path("etc"), None),
        ("pair", Pair(2, "b"), Given('{"one": 2, "two": "b"}')),
        ("options", {"level": 1}, Given('{"level": 1}')),
        ("anything", "5", Given('"5"')),
        ("anything", {1, 2}, None),
        ("rest", (1, 2), Given("1 2")),
        ("rest", (), NOTHING),
        ("more", {"a": 1.5}, Given("a=1.5")),
        ("key", None, None),
    ],
)  # fmt: skip
def test_stored_arguments_come_back_where_that_is_exact(name: str, value: object, given: Given | None) -> None:
    """Through the words, to the same value; else it is said that there are none."""
    slot = SLOTS[name]
    found = slot.given_by(values.encode(value, NoBlobs(), name=name))
    assert (None if isinstance(found, str) else found) == given
    if given is None or given == NOTHING or slot.variadic:
        return
    day = [] if name == "day" else [(SLOTS["day"], Given("2026-01-31"))]
    slots, entries = zip(*day, (slot, given), strict=True)
    call = call_of(slots, entries)
    bound = bind(TARGET, call.words, call.document, "/work")
    again = bound[list(inspect.signature(function).parameters).index(name)]
    assert (again, type(again)) == (value, type(value))
