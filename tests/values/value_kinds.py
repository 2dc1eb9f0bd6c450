"""Values of many kinds, and containers for them. Not a test module: workflows import it, too."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import ipaddress
import math
import operator
import pathlib
import re
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pydantic

from tests.values import key_kinds
from tests.values.key_kinds import Color, Model, Order, Point, Slotted, double

try:
    import torch  # type: ignore[import-not-found]
except ImportError:
    torch = None

T = TypeVar("T")


class Level(enum.StrEnum):
    LOW = "low"


class Permission(enum.IntFlag):
    READ = 4
    WRITE = 2


class Planet(enum.Enum):
    EARTH = (5, 6)

    def __init__(self, mass: int, radius: int) -> None:
        self.density = mass / radius


@dataclasses.dataclass
class Parcel(Order):
    weight: float = 1.0
    kind: dataclasses.InitVar[str] = "box"
    hidden: list[int] = dataclasses.field(default_factory=list, repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Frozen:
    part: object
    rest: tuple[object, ...] = ()


class Base:
    __slots__ = ("left",)

    def __init__(self, left: object) -> None:
        self.left = left


class Derived(Base):
    """Slots of its own, of its base, and one that is empty."""

    __slots__ = ("never", "right")

    def __init__(self, left: object, right: object) -> None:
        super().__init__(left)
        self.right = right


class Reduced:
    """Comes back by a recipe of its own."""

    __slots__ = ("content",)

    def __init__(self, content: object) -> None:
        self.content = content

    def __reduce__(self) -> tuple[object, ...]:
        return Reduced, (self.content,)


class Counted:
    """Leaves a part of its state behind, and knows to do without."""

    def __init__(self, content: object) -> None:
        self.content = content
        self.opened = 0

    def __getstate__(self) -> dict[str, object]:
        return {"content": self.content}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, opened=0)


class Address(pydantic.BaseModel):
    street: str
    since: dt.date | None = None


class Customer(Model):
    """Nested, with a private attribute and a field that only some have."""

    address: Address
    others: tuple[Address, ...] = ()
    extra: Any = None


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


class Money(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="allow")
    amount: decimal.Decimal


class Failed(Exception):
    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(f"{code} in {where}", code)
        self.where = where

    def __reduce__(self) -> tuple[object, ...]:
        return _failed, (self.args[1], self.where), dict(self.__dict__)


def _failed(code: int, where: str) -> Failed:
    return Failed(code, where=where)


class Temperatures(np.ndarray[Any, Any]):
    """A subclass of an array with an attribute, by numpy's recipe for one."""

    unit: str = ""

    def __array_finalize__(self, source: Any) -> None:
        self.unit = getattr(source, "unit", "")

    def __reduce__(self) -> Any:
        recipe: Any = super().__reduce__()
        return recipe[0], recipe[1], (recipe[2], self.unit)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[0])
        self.unit = state[1]


def _noted() -> BaseException:
    error = ValueError("a", 1)
    error.add_note("a note")
    error.path = pathlib.Path("/a")  # type: ignore[attr-defined]
    return error


def _changed(value: Any, **attributes: object) -> Any:
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


def _read_only(value: Any) -> Any:
    value.flags.writeable = False
    return value


def _recursive_list() -> list[object]:
    value: list[object] = [1]
    value.append({"again": value})
    return value


def _recursive_dict() -> dict[str, object]:
    value: dict[str, object] = {}
    value["self"] = [value]
    return value


def _frame_with_attributes() -> Any:
    frame = key_kinds.frame()
    frame.attrs["source"] = {"file": "a.csv"}
    frame.columns.name = "column"
    return frame


def _frame_of_levels() -> Any:
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["letter", None])
    columns = pd.MultiIndex.from_tuples([("x", "min"), ("x", "max"), ("y", "min")])
    return pd.DataFrame(np.arange(12.0).reshape(4, 3), index=index, columns=columns)


def _frame_with_duplicates() -> Any:
    return pd.DataFrame([[1, "a"], [2, "b"]], columns=["same", "same"], index=["row", "row"])


def _boxed(part: object) -> Any:
    box = np.empty(1, dtype=object)
    box[0] = part
    return box


PARIS = zoneinfo.ZoneInfo("Europe/Paris")
TWICE = dt.datetime(2024, 10, 27, 2, 30, tzinfo=PARIS)  # the clock showed it twice

_CANNOT_BE_SENT = ("memoryview", "Secret", "asset", "entry of an asset")  # alone: assets need the store of their files

KINDS: dict[str, Callable[[], Any]] = {
    **{kind: make for kind, make in key_kinds.KINDS.items() if kind not in _CANNOT_BE_SENT},
    "False": lambda: False,
    "infinities": lambda: (math.inf, -math.inf),
    "negative zero": lambda: -0.0,
    "smallest float": lambda: 5e-324,
    "int beyond 64 bits": lambda: -(1 << 63) - 1,
    "big negative int": lambda: -(7**9999),
    "complex of odd floats": lambda: complex(-0.0, math.nan),
    "empty str": lambda: "",
    "str with NUL and escapes": lambda: "\0\x1b[31m\u202e",
    "str of 100,000 characters": lambda: "häß ☃ " * 20_000,
    "bytes of 100,000": lambda: bytes(range(250)) * 400,
    "bytearray of 100,000": lambda: bytearray(100_000),
    "NotImplemented": lambda: NotImplemented,
    "empty containers": lambda: [(), [], {}, set(), frozenset(), b"", ""],
    "dict with 1 and '1'": lambda: {1: "int", "1": "str", None: 0, (1, 2): 3, 2.5: 4},
    "dict in order": lambda: {"z": 1, "a": {"y": 2, "b": 3}},
    "dict subclass with attribute": lambda: _changed(key_kinds.Table(a=1), note="x"),
    "list subclass with attribute": lambda: _changed(key_kinds.Items([1]), note="x"),
    "dict of lists of tuples": lambda: {"a": [(1, [2, (3,)])]},
    "shared part": lambda: [[1]] * 2,
    "recursive list": _recursive_list,
    "recursive dict": _recursive_dict,
    "ChainMap": lambda: collections.ChainMap({"a": 1}, {"b": 2}),
    "UserDict": lambda: collections.UserDict(a=1),
    "slice with step": lambda: slice(1, 10, -2),
    "Decimal with zeros": lambda: decimal.Decimal("1.500E+3"),
    "Decimal NaN": lambda: decimal.Decimal("-NaN12"),
    "decimal context": lambda: decimal.Context(prec=5),
    "datetime in the second of two hours": lambda: TWICE.replace(fold=1),
    "time with fold": lambda: dt.time(2, 30, fold=1),
    "timezone": lambda: dt.timezone(dt.timedelta(hours=-7), "west"),
    "ZoneInfo": lambda: PARIS,
    "earliest datetime": lambda: dt.datetime.min,
    "PurePosixPath": lambda: pathlib.PurePosixPath("a/../b"),
    "PureWindowsPath": lambda: pathlib.PureWindowsPath("C:\\a"),
    "bytes pattern": lambda: re.compile(rb"a+", re.DOTALL),
    "IPv4Address": lambda: ipaddress.ip_address("10.0.0.1"),
    "IPv6Network": lambda: ipaddress.ip_network("2001:db8::/32"),
    "IPv4Interface": lambda: ipaddress.ip_interface("10.0.0.1/8"),
    "UUID of a kind": lambda: uuid.UUID(int=7, version=4, is_safe=uuid.SafeUUID.safe),
    "StrEnum": lambda: Level.LOW,
    "IntFlag": lambda: Permission.READ | Permission.WRITE,
    "Flag without a bit": lambda: key_kinds.Access(0),
    "enum with a constructor": lambda: Planet.EARTH,
    "enum class": lambda: Planet,
    "array of unicode": lambda: array.array("u", "häß"),
    "dataclass that inherits": lambda: Parcel("a", {"b"}, 2.5, hidden=[1]),
    "frozen dataclass": lambda: Frozen([1], (Color.RED,)),
    "slots that are inherited, and an empty one": lambda: Derived(1, [2]),
    "slots with a recipe": lambda: Reduced({"a": (1,)}),
    "object with a state of its own": lambda: Counted([1]),
    "class of the module": lambda: Derived,
    "static function of a class": lambda: dict.fromkeys,
    "generic alias of one's own": lambda: Page[int],
    "Literal": lambda: Literal["a", 1],
    "nested SimpleNamespace": lambda: types.SimpleNamespace(a=types.SimpleNamespace(b=[1])),
    "named tuple with a tuple in it": lambda: Point(1.0, Point(2.0, (3,))),
    "partial of a partial": lambda: functools.partial(functools.partial(double), number=3),
    "attrgetter": lambda: operator.attrgetter("a.b"),
    "exception with notes and attributes": _noted,
    "exception with a signature of its own": lambda: Failed(7, where="here"),
    "exception group": lambda: ExceptionGroup("two", [ValueError(1), ExceptionGroup("in", [KeyError("k")])]),
    "KeyboardInterrupt": lambda: KeyboardInterrupt("pressed"),
    "OSError": lambda: FileNotFoundError(2, "No such file", "a.txt"),
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    "nested pydantic model": lambda: Customer(address=Address(street="x", since=dt.date(2024, 1, 2)), extra={1: "a"}),
    "pydantic model with a changed private attribute": lambda: _changed(Model(name="x"), _hidden=9),
    "pydantic model of which fields were set": lambda: Model.model_construct({"name"}, name="x"),
    "generic pydantic model": lambda: Page[int](items=[1, 2]),
    "generic pydantic model of models": lambda: Page[Address](items=[Address(street="x")]),
    "pydantic model with extra fields": lambda: Money(amount=decimal.Decimal("1.50"), note="x"),  # type: ignore[call-arg]
    "pydantic class": lambda: Customer,
    "0-d array": lambda: np.array(7.5),
    "empty array": lambda: np.zeros((0, 3), dtype="i2"),
    "Fortran array": lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big Fortran array": lambda: np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
    "big array": lambda: np.arange(60_000, dtype=">i4").reshape(200, 300),
    "strided view": lambda: np.arange(100_000)[::3],
    "reversed view": lambda: np.arange(10)[::-1],
    "transposed view": lambda: np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
    "broadcast array": lambda: np.broadcast_to(np.arange(3), (4, 3)),
    "read-only array": lambda: _read_only(np.arange(10)),
    "big read-only array": lambda: _read_only(np.arange(10_000)),
    "array of bool": lambda: np.array([True, False]),
    "array of complex": lambda: np.array([1 + 2j, complex(math.nan, -0.0)]),
    "array of bytes": lambda: np.array([b"a", b"bcd"]),
    "array of variable strings": lambda: key_kinds.strings(["a", "häß" * 100]),
    "array of timedeltas": lambda: np.array([1, "NaT"], dtype="m8[ns]"),
    "array of objects in 2-d": lambda: np.array([[1, "a"], [None, Color.RED]], dtype=object),
    "aligned structured array": lambda: np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "record array": lambda: np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "masked array with a fill value": lambda: np.ma.array([1.0, 2.0], mask=[True, False], fill_value=-1.0),
    "subclass of an array": lambda: _changed(np.arange(3.0).view(Temperatures), unit="K"),
    "structured masked array": lambda: np.ma.array([(1, 2.0)], mask=[(True, False)], dtype=[("a", "i4"), ("b", "f8")]),
    "numpy datetime": lambda: np.datetime64("2024-01-01T00:00:00", "ms"),
    "numpy timedelta": lambda: np.timedelta64(5, "D"),
    "numpy NaT": lambda: np.datetime64("NaT"),
    "numpy bool": lambda: np.bool_(True),
    "numpy long double": lambda: np.longdouble(1) / 3,
    "numpy complex": lambda: np.complex64(1 + 2j),
    "numpy str": lambda: np.str_("a"),
    "numpy record": lambda: np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])[0],
    "structured dtype": lambda: np.dtype([("a", "i4"), ("b", "O")]),
    "numpy type": lambda: np.float32,
    "random generator": lambda: np.random.default_rng(5),
    "empty DataFrame": pd.DataFrame,
    "DataFrame without columns": lambda: pd.DataFrame(index=range(3)),
    "DataFrame with attributes and a name": _frame_with_attributes,
    "DataFrame with levels on both axes": _frame_of_levels,
    "DataFrame with the same label twice": _frame_with_duplicates,
    "DataFrame with labels of many types": lambda: pd.DataFrame({1: [1], "a": [2], (1, "b"): [3], None: [4]}),
    "DataFrame of objects": lambda: pd.DataFrame({"a": [{"k": [1]}, None, (1, 2)]}),
    "big DataFrame": lambda: pd.DataFrame({"a": np.arange(10_000), "b": np.ones(10_000)}),
    "slice of a DataFrame": lambda: key_kinds.frame().iloc[::2, 1:],
    "DataFrame with times": lambda: pd.DataFrame(
        {"a": pd.to_timedelta([1, None], "s"), "b": pd.to_datetime([0, None])}
    ),
    "DataFrame with sparse values": lambda: pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])}),
    "DataFrame with periods and intervals": lambda: pd.DataFrame(
        {"p": pd.period_range("2024", periods=2, freq="Q"), "i": pd.interval_range(0, 2)}
    ),
    "DataFrame with nullable columns": lambda: pd.DataFrame({"a": [1, None], "b": ["x", None]}).convert_dtypes(),
    "Series with a tuple for a name": lambda: pd.Series([1.5, None], name=("a", 1), index=["x", "y"]),
    "Series of ordered categories": lambda: pd.Series(pd.Categorical(["b", "a"], ["b", "a", "c"], ordered=True)),
    "Series with a zone": lambda: pd.Series(pd.date_range("2024-03-30", periods=3, freq="12h", tz=PARIS)),
    "Series of nullable booleans": lambda: pd.Series([True, None], dtype="boolean"),
    "Index": lambda: pd.Index(["a", None, 1], name="i"),
    "RangeIndex": lambda: pd.RangeIndex(0, 10, 3, name="r"),
    "CategoricalIndex": lambda: pd.CategoricalIndex(["a", "b"]),
    "PeriodIndex": lambda: pd.period_range("2024-01", periods=3, freq="M"),
    "TimedeltaIndex": lambda: pd.to_timedelta([1, 2], "h"),
    "DatetimeIndex with a frequency": lambda: pd.date_range("2024-01-01", periods=3, freq="ME", tz="Asia/Tokyo"),
    "Timedelta": lambda: pd.Timedelta("1 days 00:00:00.000000001"),
    "Timestamp in nanoseconds": lambda: pd.Timestamp("2024-01-01 00:00:00.000000001"),
    "Interval": lambda: pd.Interval(0, 1, closed="left"),
    "NaT": lambda: pd.NaT,
    "DateOffset": lambda: pd.offsets.MonthEnd(2),
    "Categorical": lambda: pd.Categorical(["a", None]),
    "extension dtype": lambda: pd.CategoricalDtype(["a", "b"], ordered=True),
    "Series of Arrow strings": lambda: pd.Series(["a", None, "häß"], dtype="string[pyarrow]"),
    "Series of Arrow's types": lambda: pd.Series([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "big Series of strings": lambda: pd.Series([f"text {number}" for number in range(5_000)]),
    "Arrow table": lambda: pa.table({"a": [1, None], "b": ["x", "y"]}),
    "Arrow array": lambda: pa.array([[1], [], None]),
    "Arrow schema": lambda: pa.schema([("a", pa.int64())], metadata={"k": "v"}),
    "polars DataFrame": lambda: pl.DataFrame(
        {"a": [1, None], "b": ["x", "y"], "c": [[1], []], "d": [dt.date(2024, 1, 2), None]}
    ),
    "polars Series": lambda: pl.Series("s", ["b", "a"], dtype=pl.Categorical),
    "polars LazyFrame": lambda: pl.LazyFrame({"a": [1, 2]}).filter(pl.col("a") > 1),
    "polars expression": lambda: pl.col("a") + 1,
    "polars type": lambda: pl.Datetime("us", "UTC"),
}

if torch is not None:
    KINDS |= {
        "tensor": lambda: torch.arange(6.0).reshape(2, 3),
        "big tensor": lambda: torch.arange(100_000),
        "tensor of bfloat16": lambda: torch.ones(3, dtype=torch.bfloat16),
        "view of a tensor": lambda: torch.arange(6).reshape(2, 3).t(),
        "tensor with a gradient": lambda: torch.ones(3, requires_grad=True),
        "parameters of a module": lambda: torch.nn.Linear(2, 3).state_dict(),
        "torch type": lambda: torch.float16,
    }

CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "list": lambda part: [part],
    "twice in a list": lambda part: [part, part],
    "tuple": lambda part: (1, part),
    "dict": lambda part: {"a": part},
    "dict of lists": lambda part: {"a": [{"b": part}]},
    "deque": lambda part: collections.deque([part], maxlen=3),
    "OrderedDict": lambda part: collections.OrderedDict(b=part, a=1),
    "defaultdict": lambda part: collections.defaultdict(list, a=part),
    "named tuple": lambda part: Point(1.0, part),
    "dataclass": lambda part: Parcel("a", part),
    "frozen dataclass": Frozen,
    "dataclass with slots": Slotted,
    "SimpleNamespace": lambda part: types.SimpleNamespace(part=part),
    "slots": lambda part: Derived(part, [part]),
    "recipe": Reduced,
    "state": Counted,
    "partial": lambda part: functools.partial(double, part),
    "exception": lambda part: ValueError("a", part),
    "attribute of an exception": lambda part: _changed(ValueError("a"), part=part),
    "pydantic model": lambda part: Customer.model_construct(address=Address(street="x"), extra=part),
    "ndarray of objects": _boxed,
}

HOLDERS: dict[str, Callable[[Any], Any]] = {
    **CONTAINERS,
    "key": lambda part: {part: 1},
    "set": lambda part: {part},
    "frozenset": lambda part: frozenset([part]),
    "DataFrame of objects": lambda part: pd.DataFrame({"a": [1], "b": pd.Series(_boxed(part))}),
}
"""For what can be hashed and compared."""
