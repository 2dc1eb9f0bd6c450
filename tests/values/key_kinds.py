"""Values of many kinds, made anew in every process that compares their keys. Not a test module: processes import it."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import operator
import pathlib
import re
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Optional, TypeVar

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pydantic

import coflux as cf
from coflux.assets import Asset, AssetEntry
from coflux.failures import NoBlobs
from coflux.handles import Execution
from coflux.keys import key_of


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 (an alias)
    BLUE = "blue"


class Size(enum.IntEnum):
    LARGE = 3


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: float
    y: object = None


@dataclasses.dataclass
class Order:
    name: str
    tags: set[str] = dataclasses.field(default_factory=set)

    @functools.cached_property
    def title(self) -> str:
        return self.name.title()


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    part: object


class Model(pydantic.BaseModel):
    name: str = "a"
    tags: set[str] = set()
    _hidden: int = pydantic.PrivateAttr(1)

    @functools.cached_property
    def title(self) -> str:
        return self.name.title()


class Plain:
    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


T = TypeVar("T")


class Box(Generic[T]):
    __slots__ = ("content",)

    def __init__(self, content: T) -> None:
        self.content = content


class Number(int):
    pass


class Text(str):
    __slots__ = ()


class Items(list[Any]):
    pass


class Words(set[str]):
    pass


class Table(dict[Any, Any]):
    pass


def double(number: int) -> int:
    return 2 * number


@cf.task()
def fetch(url: str) -> str:
    return url


WORDS = [f"word {number}" for number in range(20)]  # enough for sets of them to have another order in every process


def frame() -> Any:
    table = pd.DataFrame({"a": [1, 2, 3], "b": [1.5, float("nan"), 3.0]}, index=["x", "y", "z"])
    table["c"] = ["p", None, "r"]
    table["d"] = pd.Categorical(["u", "v", "u"])
    table["e"] = pd.array([1, None, 3], dtype="Int64")
    table["f"] = pd.date_range("2024-01-01", periods=3, tz="Europe/Paris")
    return table


KINDS: dict[str, Callable[[], object]] = {
    "None": lambda: None,
    "Ellipsis": lambda: ...,
    "bool": lambda: True,
    "int": lambda: -7,
    "big int": lambda: 7**9999,
    "float": lambda: 0.1,
    "NaN": lambda: float("nan"),
    "complex": lambda: 1 + 2j,
    "str": lambda: "häß ☃",
    "str with surrogates": lambda: "\udcff",
    "bytes": lambda: b"\0\xff",
    "bytearray": lambda: bytearray(b"ab"),
    "memoryview": lambda: memoryview(b"abcd")[::2],
    "range": lambda: range(1, 10, 2),
    "slice": lambda: slice(None, 3),
    "list": lambda: [1, [2.0], "3"],
    "tuple": lambda: (1, (2,)),
    "named tuple": lambda: Point(1.0, "y"),
    "deque": lambda: collections.deque([1, 2], maxlen=5),
    "set": lambda: set(WORDS),
    "frozenset": lambda: frozenset([*WORDS, 1, None, (1, "a")]),
    "set of sets": lambda: {frozenset(WORDS[:5]), frozenset(WORDS[5:])},
    "dict": lambda: dict.fromkeys(set(WORDS), 1),
    "dict with keys of many types": lambda: dict.fromkeys({None, 1, 2.5, "a", ("b", 1), Color.RED, b"x"}, 1),
    "OrderedDict": lambda: collections.OrderedDict(b=1, a=2),
    "defaultdict": lambda: collections.defaultdict(list, {word: [1] for word in set(WORDS)}),
    "Counter": lambda: collections.Counter(set(WORDS)),
    "SimpleNamespace": lambda: types.SimpleNamespace(b=1, a={2}),
    "Decimal": lambda: decimal.Decimal("1.50"),
    "Fraction": lambda: fractions.Fraction(1, 3),
    "date": lambda: dt.date(2024, 2, 29),
    "time": lambda: dt.time(1, 2, 3, 4),
    "datetime": lambda: dt.datetime(2024, 2, 29, 12),
    "datetime with a zone": lambda: dt.datetime(2024, 2, 29, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    "datetime with an offset": lambda: dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone(dt.timedelta(hours=1), "x")),
    "timedelta": lambda: dt.timedelta(days=-1, microseconds=1),
    "UUID": lambda: uuid.UUID(int=5),
    "Path": lambda: pathlib.Path("/a/b"),
    "enum": lambda: Color.BLUE,
    "IntEnum": lambda: Size.LARGE,
    "Flag": lambda: Access.READ | Access.WRITE,
    "dataclass": lambda: Order("a", set(WORDS)),
    "dataclass with slots": lambda: Slotted(frozenset(WORDS)),
    "pydantic model": lambda: Model(name="b", tags=set(WORDS)),
    "instance": lambda: Plain(a=1, b=set(WORDS)),
    "instance with slots": lambda: Box(set(WORDS)),
    "exception": lambda: ValueError("a", 1),
    "int subclass": lambda: Number(5),
    "str subclass": lambda: Text("a"),
    "list subclass": lambda: Items([1]),
    "set subclass": lambda: Words(WORDS),
    "dict subclass": lambda: Table.fromkeys(set(WORDS)),
    "type": lambda: Order,
    "builtin type": lambda: dict,
    "generic alias": lambda: dict[str, list[int]],
    "optional type": lambda: Optional[int],  # noqa: UP045 (another object than `int | None`, before Python 3.14)
    "union type": lambda: int | None,
    "function": lambda: double,
    "builtin function": lambda: len,
    "method": lambda: "a".join,
    "partial": lambda: functools.partial(double, number=3),
    "operator": lambda: operator.itemgetter(1, "a"),
    "pattern": lambda: re.compile(r"a+", re.IGNORECASE),
    "array": lambda: array.array("d", [1.0, 2.0]),
    "target": lambda: fetch,
    "Secret": lambda: cf.Secret.env("TOKEN"),
    "asset": lambda: Asset("a1b2", NoBlobs()),
    "entry of an asset": lambda: entry("a/b.txt", "c3d4"),
    "handle": lambda: {"a": [Execution("R1:2:1", module="m", target="t")]},
    "ndarray": lambda: np.arange(12, dtype="i4").reshape(3, 4),
    "ndarray of objects": lambda: np.array(["a", None, {1, "b"}], dtype=object),
    "ndarray of strings": lambda: np.array(["a", "bcd"]),
    "ndarray of times": lambda: np.array(["2024-01-01", "NaT"], dtype="M8[s]"),
    "structured ndarray": lambda: np.array([(1, 2.0, "x")], dtype=[("a", "i1"), ("b", "f8"), ("c", "O")]),
    "long doubles": lambda: np.array([1, -0.0, np.inf, np.nan], dtype="g") / 3,
    "masked array": lambda: np.ma.array([1, 2], mask=[False, True]),
    "numpy scalar": lambda: np.float32(1.5),
    "numpy dtype": lambda: np.dtype("i4"),
    "ufunc": lambda: np.add,
    "DataFrame": frame,
    "Series": lambda: pd.Series([1, 2], name="s"),
    "MultiIndex": lambda: pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", "y"]),
    "DatetimeIndex": lambda: pd.date_range("2024-01-01", periods=3),
    "IntervalIndex": lambda: pd.interval_range(0, 3),
    "Timestamp": lambda: pd.Timestamp("2024-01-01", tz="UTC"),
    "Period": lambda: pd.Period("2024-01"),
    "NA": lambda: pd.NA,
}


def keys() -> dict[str, str]:
    return {kind: key_of(make()).digest.hex() for kind, make in KINDS.items()}


def key(value: object) -> bytes:
    return key_of(value).digest


def handle(number: int) -> Execution[Any]:
    return Execution(f"R1:{number}:1", module="m", target="t")


def entry(path: str, blob: str, mode: int = 0o644) -> AssetEntry:
    return AssetEntry(Asset("a1b2", NoBlobs()), path, 3, blob, mode)


def strings(texts: list[str]) -> Any:
    return np.array(texts, dtype=np.dtypes.StringDType())
