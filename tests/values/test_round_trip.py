"""Values come back equal and of the same type, or are refused with the place and the reason."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import io
import math
import operator
import pathlib
import re
import socket
import struct
import sys
import threading
import uuid
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.executor.blobs import FileBlobs
from coflux.failures import NoBlobs
from coflux.handles import Execution
from coflux.values import INLINE_LIMIT, Reference, UnloadableValue, UnsendableValue, Value, decode, encode, pack
from tests.naming import named
from tests.values.conftest import PREAMBLE, RunScript


class Point(NamedTuple):
    x: int
    y: object = None


class Color(enum.Enum):
    RED = 1


class Size(enum.IntEnum):
    LARGE = 3


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Order:
    name: str
    parts: object


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    part: object


class Words(list[str]):
    pass


class RefusesToLoad:
    def __reduce__(self) -> tuple[object, ...]:
        return fail_to_load, (type(self),)


def fail_to_load(_: type) -> None:
    raise ZeroDivisionError("the database is gone")


def trip(value: Any, blobs: FileBlobs) -> Any:
    return decode(encode(value, blobs), blobs)


def is_same(left: Any, right: Any) -> bool:
    """Equal, of the same types at every level, NaN equal to itself and -0.0 different from 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right) or (math.isnan(left) and math.isnan(right))
    if dataclasses.is_dataclass(left):
        return all(is_same(getattr(left, field.name), getattr(right, field.name)) for field in dataclasses.fields(left))
    if isinstance(left, (list, tuple, collections.deque)):
        return len(left) == len(right) and all(map(is_same, left, right))
    if isinstance(left, dict):
        return is_same(list(left), list(right)) and is_same(list(left.values()), list(right.values()))
    return bool(left == right)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())  # lone surrogates included
    | st.binary()
    | st.binary().map(bytearray)
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.just(dt.timezone(dt.timedelta(hours=-7))))
    | st.timedeltas()
    | st.sampled_from([Color.RED, Size.LARGE, Access.READ | Access.WRITE, pathlib.Path("/a/b"), ..., NotImplemented])
)
hashables = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
containers = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(hashables, inner)
        | st.frozensets(hashables)
        | st.sets(hashables)
        | inner.map(lambda part: Point(1, part))
        | inner.map(lambda part: Order("a", part))
        | inner.map(Slotted)
        | st.lists(inner).map(collections.deque)
    ),
)


@given(containers)
def test_any_combination_of_types_comes_back_the_same(value: object) -> None:
    store = NoBlobs()
    assert is_same(decode(encode(value, store), store), value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()), st.lists))
def test_plain_values_come_back_the_same(value: object) -> None:
    store = NoBlobs()
    assert is_same(decode(encode(value, store), store), value)


@pytest.mark.parametrize(
    ("value", "format_"),
    [
        (None, "json"),
        (True, "json"),
        (0, "json"),
        ((1 << 63) - 1, "json"),
        (1 << 63, "pickle"),
        (-(1 << 63), "json"),
        (-(1 << 63) - 1, "pickle"),
        (1.0, "json"),
        (1e300, "json"),
        (5e-324, "json"),
        (-0.0, "json"),
        (math.nan, "pickle"),
        (-math.inf, "pickle"),
        ("", "json"),
        ("\0\x1b☃", "json"),
        ("\udcff", "pickle"),
        ({"z": 1, "a": [{}, []]}, "json"),
        ({1: "a", "1": "b", None: 0, (1, 2): 3}, "pickle"),
        ([(1, 2)], "pickle"),
        (list(range(63)), "json"),
        (list(range(64)), "pickle"),
        ("x" * INLINE_LIMIT, "pickle"),
        (Size.LARGE, "pickle"),
        (collections.OrderedDict(a=1), "pickle"),
        (Words(["a"]), "pickle"),
        (2**70, "pickle"),
        (1 + 2j, "pickle"),
        (decimal.Decimal("1.500"), "pickle"),
        (b"\0", "pickle"),
        (range(3), "pickle"),
        (uuid.UUID(int=1), "pickle"),
        (fractions.Fraction(1, 3), "pickle"),
        (array.array("d", [1.0]), "pickle"),
        (io.BytesIO, "pickle"),
        (math.sqrt, "pickle"),
        (re.compile("a+"), "pickle"),
        (functools.partial(operator.add, 1).args, "pickle"),
    ],
)
def test_type_and_value_are_kept(value: object, format_: str, blobs: FileBlobs) -> None:
    encoded = encode(value, blobs)
    assert encoded.format == format_
    assert is_same(decode(encoded, blobs), value)


def test_decimals_keep_their_digits(blobs: FileBlobs) -> None:
    assert str(trip(decimal.Decimal("1.500"), blobs)) == "1.500"


@pytest.mark.parametrize("container", [[], {}])
def test_an_object_that_occurs_twice_is_still_one_object(container: object, blobs: FileBlobs) -> None:
    first, second = trip([container, container], blobs)
    assert first is second


def test_recursive_containers(blobs: FileBlobs) -> None:
    cycle: list[object] = [1]
    cycle.append({"again": cycle})
    copy = trip(cycle, blobs)
    assert copy[0] == 1
    assert copy[1]["again"] is copy


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: (inner,)])
def test_nesting_that_is_too_deep_is_refused_by_name(wrap: Any, blobs: FileBlobs) -> None:
    value: object = 0
    for _ in range(100_000):
        value = wrap(value)
    with pytest.raises(UnsendableValue, match=r"^result: (list|dict|tuple) is nested too deeply to be sent$"):
        encode(value, blobs, name="result")


@pytest.mark.parametrize(
    "value",
    [
        np.float32(1.5),
        np.datetime64("2024-01-01T00:00:00"),
        np.array(7),
        np.arange(24).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(100_000)[::2],
        np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([{"a": 1}, None, "x"], dtype=object),
        np.zeros((0, 3)),
        np.ones((100, 100), dtype="c16"),
    ],
    ids=named,
)
def test_numpy(value: Any, blobs: FileBlobs) -> None:
    copy = trip(value, blobs)
    assert type(copy) is type(value)
    assert copy.dtype == value.dtype
    assert copy.shape == value.shape
    assert np.array_equal(copy, value)


def test_fortran_order_is_kept(blobs: FileBlobs) -> None:
    assert trip(np.asfortranarray(np.ones((300, 300))), blobs).flags.f_contiguous


def test_big_arrays_are_mapped_writable_and_never_change_the_blob(blobs: FileBlobs) -> None:
    encoded = encode({"a": np.arange(100_000), "b": np.ones(5_000)}, blobs)
    assert encoded.data == b""
    assert encoded.blob is not None
    first: Any = decode(encoded, blobs)
    assert first["a"].ctypes.data % 64 == first["b"].ctypes.data % 64 == 0
    assert not first["a"].flags.owndata
    first["a"][:] = 0
    second: Any = decode(encoded, blobs)
    assert np.array_equal(second["a"], np.arange(100_000))


def test_read_only_arrays_stay_read_only(blobs: FileBlobs) -> None:
    value = np.arange(10_000)
    value.flags.writeable = False
    assert not trip(value, blobs).flags.writeable


def test_small_arrays_can_be_changed(blobs: FileBlobs) -> None:
    copy = trip(np.arange(10), blobs)
    copy[0] = 1


def test_an_array_is_not_copied_on_its_way_to_the_store() -> None:
    value = np.arange(10_000)
    seen: list[memoryview] = []

    class Watching(NoBlobs):
        def write(self, parts: Any) -> str:
            seen.extend(part for part in parts if isinstance(part, memoryview))
            return "0" * 64

    pack(value, Watching())
    (view,) = seen
    value[0] = 77
    assert view[0] == 77


def test_big_bytes_are_not_copied_on_their_way_to_the_store() -> None:
    value = bytes(1_000_000)
    seen: list[object] = []

    class Watching(NoBlobs):
        def write(self, parts: Any) -> str:
            seen.extend(parts)
            return "0" * 64

    pack([value], Watching())
    assert any(part is value for part in seen)


# -- handles ----------------------------------------------------------------------------------------------------------


def handle(execution: str) -> Execution[Any]:
    return Execution.from_reference(Reference("execution", execution, "app", "load"))


def test_handles_are_references_at_any_depth(blobs: FileBlobs) -> None:
    first, second = handle("R1:2:1"), handle("R1:3:1")
    encoded = encode({"a": [first, Order("o", (second, first))], "n": 1}, blobs)
    assert encoded.format == "pickle"
    assert encoded.references == (first.reference(), second.reference())
    copy: Any = decode(encoded, blobs)
    assert copy["a"][0] == first
    assert copy["a"][1].parts == (second, first)
    assert copy["a"][0] is copy["a"][1].parts[1]


def test_a_replaced_reference_is_what_the_receiver_gets(blobs: FileBlobs) -> None:
    encoded = encode([handle("@1")], blobs)
    identified = Value("pickle", encoded.data, encoded.size, references=(Reference("execution", "R1:7:1", "app", "f"),))
    received: Any = decode(identified, blobs)
    (copy,) = received
    assert (copy.id, copy.module, copy.target) == ("R1:7:1", "app", "f")


def test_handles_in_closures(blobs: FileBlobs) -> None:
    inner = handle("R1:2:1")
    encoded = encode(lambda: inner, blobs)
    assert encoded.format == "dill"
    assert encoded.references == (inner.reference(),)
    copy: Any = decode(encoded, blobs)
    assert copy() == inner


def test_the_handle_of_a_call_outside_a_run_is_refused(blobs: FileBlobs) -> None:
    with pytest.raises(UnsendableValue, match=r"^argument: .*outside a run.*its result can"):
        encode(Execution.finished("app", "f", 1), blobs, name="argument")


# -- what pickle cannot do --------------------------------------------------------------------------------------------


def test_functions_without_a_name(blobs: FileBlobs) -> None:
    offset = 5
    copy = trip({"add": lambda number: number + offset}, blobs)
    assert copy["add"](1) == 6


def test_local_classes_come_back_as_themselves(blobs: FileBlobs) -> None:
    class Local:
        def me(self) -> type:
            return Local

    class Level(enum.Enum):
        LOW = 1

        def above(self) -> Level:
            return Level.LOW

    copy = trip([Local(), Level.LOW], blobs)
    assert type(copy[0]) is Local
    assert copy[0].me() is Local
    assert copy[1] is Level.LOW


MAIN_CLASSES = """
import abc, collections, dataclasses, enum, json, threading, typing
T = typing.TypeVar("T")
FACTOR = 3
guard = threading.Lock()

@dataclasses.dataclass
class Point:
    x: int
    def double(self):
        with guard:
            return Point(self.x * 2)
    def text(self):
        return json.dumps(self.x * FACTOR)

class Color(enum.Enum):
    RED = 1
    BLUE = 2
    @property
    def other(self):
        return Color.BLUE if self is Color.RED else Color.RED
    def __str__(self):
        return self.name.lower()

class Planet(enum.Enum):
    EARTH = (5, 6)
    def __init__(self, mass, radius):
        self.density = mass / radius

class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...

class Square(Shape):
    def area(self):
        return super().__class__.__name__ and 4

class Box(typing.Generic[T]):
    def __init__(self, part):
        self.part = part
    def __eq__(self, other):
        return type(other) is Box and other.part == self.part

Pair = collections.namedtuple("Pair", "a b")

def triple(number):
    return number * FACTOR

def is_even(number):
    return number == 0 or is_odd(number - 1)

def is_odd(number):
    return number != 0 and is_even(number - 1)

def count():
    global calls
    calls += 1
    return calls

def calls_so_far():
    return calls, xml.dom.minidom.parseString("<a/>").documentElement.tagName

calls = 0
import xml.dom.minidom
"""


def test_classes_and_functions_of_main_travel_by_value(run_script: RunScript) -> None:
    objects = "Point(2), Color.RED, Planet.EARTH, Square(), Box(Pair(1, Point(3)))"
    code = "triple, Point, is_even, count, calls_so_far"
    run_script(MAIN_CLASSES + f"save(values.encode([{objects}, {code}], blobs))")
    shown = run_script(
        "point, color, planet, square, box, *code = values.decode(saved(values.Value), blobs)\n"
        "triple, cls, is_even, count, calls = code\n"
        "print(point, point.double(), point.text(), type(point) is cls)\n"
        "print(color, color.other, color.other.other is color, type(color)(2).name)\n"
        "print(planet.name, planet.value, round(planet.density, 2))\n"
        "print(square.area(), box.part, type(box.part.b) is cls, triple(5))\n"
        "print(is_even(10), count(), count(), calls())\n"
    )
    assert shown.splitlines() == [
        "Point(x=2) Point(x=4) 6 True",
        "red blue True BLUE",
        "EARTH (5, 6) 0.83",
        "4 Pair(a=1, b=Point(x=3)) True 15",
        "True 1 2 (2, 'a')",
    ]


def test_an_object_of_main_that_comes_home_is_of_the_class_it_was(run_script: RunScript) -> None:
    shown = run_script(
        MAIN_CLASSES + "import subprocess\n"
        "value = [Point(1), Color.RED, Box(1), Pair(1, 2)]\n"
        "save(values.encode(value, blobs))\n"
        "before = [dict(vars(type(part))) for part in value]\n"
        f"subprocess.run([sys.executable, '-c', {ELSEWHERE!r}], check=True)\n"
        "copy = values.decode(saved(values.Value), blobs)\n"
        "print(copy == value, [type(part) is type(other) for part, other in zip(copy, value)])\n"
        "print(before == [dict(vars(type(part))) for part in value])\n"
    )
    assert shown.splitlines() == ["True [True, True, True, True]", "True"]


ELSEWHERE = PREAMBLE + "save(values.encode(values.decode(saved(values.Value), blobs), blobs))"


def test_a_class_that_only_this_process_could_find_is_refused(blobs: FileBlobs) -> None:
    class Local:
        default: Any

    Local.default = Local()
    with pytest.raises(UnsendableValue, match=r"Local cannot be sent \(PicklingError: .*Local holds itself: move it"):
        encode(Local(), blobs)


def test_what_does_not_load_names_the_class_and_the_reason(blobs: FileBlobs) -> None:
    with pytest.raises(UnloadableValue, match=r"RefusesToLoad.*ZeroDivisionError: the database is gone") as caught:
        trip([RefusesToLoad()], blobs)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_class_that_is_missing_here_is_named(run_script: RunScript, blobs: FileBlobs) -> None:
    encoded = encode(Order("a", 1), blobs)
    foreign = Value("pickle", encoded.data.replace(b"Order", b"Gone!"), encoded.size)
    with pytest.raises(UnloadableValue, match=r"test_round_trip.Gone! cannot be loaded here: AttributeError"):
        decode(foreign, blobs)


# -- what cannot be sent ----------------------------------------------------------------------------------------------


class Holder:
    def __init__(self, part: object) -> None:
        self.part = part


class Moody:
    def __getstate__(self) -> object:
        raise RuntimeError("not today")


MOODY = f"{__name__}.Moody"


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [threading.Lock()]}, "result['a'][0]: _thread.lock cannot be sent; create it in the process that uses"),
        ([1, (2, threading.RLock())], "result[1][1]: _thread.RLock cannot be sent"),
        ((letter for letter in ""), "result: generator cannot be sent; send a list of its items"),
        ([sys], "result[0]: module cannot be sent; import it"),
        (Order("a", {"log": sys.__stdout__}), "result.parts['log']: _io.TextIOWrapper cannot be sent; send its path"),
        (Slotted([weakref.ref(Color)]), "result.part[0]: weakref.ReferenceType cannot be sent; send the object itself"),
        ([memoryview(b"ab")], "result[0]: memoryview cannot be sent; send bytes(view)"),
        (Point(1, {2: iter(sys.modules)}), "result.y[2]: dict_keyiterator cannot be sent"),
        (Holder(Holder(Moody())), f"result.part.part: {MOODY} cannot be sent (RuntimeError: "),
        ({(1, Moody()): 1}, f"list(result)[0][1]: {MOODY} cannot be sent"),
        (frozenset([Moody()]), f"list(result)[0]: {MOODY} cannot be sent"),
        (threading.current_thread(), "result: threading._MainThread cannot be sent; start it"),
    ],
    ids=lambda value: "" if not isinstance(value, str) else value.partition(" ")[0],
)
def test_the_culprit_is_named_with_its_place(value: object, message: str, blobs: FileBlobs) -> None:
    with pytest.raises(UnsendableValue) as caught:
        encode(value, blobs, name="result")
    assert str(caught.value).startswith(message)


def test_sockets_files_and_coroutines_are_refused(blobs: FileBlobs) -> None:
    waiting = coroutine()
    with socket.socket() as open_socket, open(__file__, "rb") as open_file:
        for value in (open_socket, open_file, waiting):
            with pytest.raises(UnsendableValue):
                encode([value], blobs)
    waiting.close()


def test_code_that_needs_an_open_file_is_refused(blobs: FileBlobs) -> None:
    with open(__file__) as open_file, pytest.raises(UnsendableValue, match="cannot be sent"):
        encode(lambda: open_file.read() + "", blobs)


def test_closures_share_their_variables(blobs: FileBlobs) -> None:
    total = 0

    def add(number: int = 1, *, times: int = 1) -> None:
        "Add it."
        nonlocal total
        total += number * times

    def read() -> int:
        return total

    add.unit = "m"  # type: ignore[attr-defined]
    copied_add, copied_read = trip((add, read), blobs)
    copied_add(2, times=3)
    copied_add()
    assert (copied_read(), read()) == (7, 0)
    assert (copied_add.__doc__, copied_add.unit, copied_add.__annotations__) == ("Add it.", "m", add.__annotations__)


def test_a_closure_over_a_variable_without_a_value(blobs: FileBlobs) -> None:
    def read() -> object:
        return later

    copied = trip(read, blobs)
    with pytest.raises(NameError):
        copied()
    later = 1
    assert read() == later


def test_recursive_closures(blobs: FileBlobs) -> None:
    def is_even(number: int) -> bool:
        return number == 0 or is_odd(number - 1)

    def is_odd(number: int) -> bool:
        return number != 0 and is_even(number - 1)

    assert trip(is_even, blobs)(10)
