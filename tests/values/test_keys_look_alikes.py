"""Keys are different for values of different types or content, however much they look alike."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import functools
import math
import pathlib
import re
import struct
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

import coflux as cf
from coflux.assets import Asset
from coflux.failures import NoBlobs
from coflux.keys import Key, key_of
from tests.values.key_kinds import (
    KINDS,
    Access,
    Box,
    Color,
    Items,
    Model,
    Number,
    Order,
    Plain,
    Point,
    Size,
    Slotted,
    Table,
    Text,
    Words,
    double,
    entry,
    fetch,
    handle,
    key,
    strings,
)

look_alikes = st.sampled_from([None, 0, 1, False, True, 0.0, -0.0, 1.0, "", "0", "1", b"", b"1", 1j, "N", "i1;"])
few = st.recursive(
    look_alikes,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(look_alikes, inner, max_size=3)
        | st.sets(look_alikes, max_size=3)
        | st.frozensets(look_alikes, max_size=3)
        | inner.map(Slotted)
    ),
    max_leaves=6,
)


def described(value: Any) -> str:
    """The type and content of a value of `few`, as text."""
    if isinstance(value, Slotted):
        content = described(value.part)
    elif isinstance(value, dict):
        content = ",".join(sorted(f"{described(key)}={described(part)}" for key, part in value.items()))
    elif isinstance(value, (set, frozenset)):
        content = ",".join(sorted(map(described, value)))
    elif isinstance(value, (list, tuple)):
        content = ",".join(map(described, value))
    else:
        content = repr(value)
    return f"{type(value).__name__}({content})"


@given(st.lists(few, min_size=2, max_size=20))
def test_two_values_have_one_key_when_types_and_content_are_the_same(values: list[Any]) -> None:
    by_key = {key(value): described(value) for value in values}
    by_description = {described(value): key(value) for value in values}
    assert by_description == {description: digest for digest, description in by_key.items()}
    assert len(by_key) == len(by_description)


class Elsewhere:
    """Holds classes with the names of others."""

    @dataclasses.dataclass
    class Order:
        name: str
        tags: set[str]

    class Point(NamedTuple):
        x: float
        y: object = None


@cf.task(name="other")
def fetch_other(url: str) -> str:
    return url


class Stateless:
    pass


class AlsoStateless:
    pass


PARIS, BERLIN = zoneinfo.ZoneInfo("Europe/Paris"), zoneinfo.ZoneInfo("Europe/Berlin")
AHEAD = dt.timezone(dt.timedelta(hours=1))

LOOK_ALIKES: dict[str, list[object]] = {
    "numbers": [
        *[0, 1, True, False, 0.0, -0.0, 1.0, "1", b"1", 1 + 0j, 0j, -0j, Number(1), np.int64(1), np.int32(1)],
        *[np.float64(1), np.bool_(True), decimal.Decimal(1), decimal.Decimal("1.0"), decimal.Decimal("-0")],
        *[2**64, float(2**64), math.inf, -math.inf, math.nan, decimal.Decimal("NaN"), np.array(1), np.array([1])],
        *[10**5000, 10**5000 + 1, KINDS["long doubles"](), np.float64("nan"), pd.NA, pd.NaT, None, ...],
        *[NotImplemented, type(None), type(...)],
    ],
    "texts": ["", "a", Text("a"), b"a", bytearray(b"a"), memoryview(b"a"), "a\0", "\udc61", "A", ["a"], np.str_("a")],
    "surrogates": ["\U0001f600", "\ud83d\ude00", "\ud83d", "\ude00"],
    "sequences": [
        *[[], (), set(), frozenset(), {}, "", b"", Items(), Words(), Table(), collections.deque(), range(0)],
        *[[1], (1,), {1}, frozenset({1}), collections.deque([1]), collections.deque([1], 1), Items([1]), {1: None}],
        *[[1, 2], [2, 1], [[1], 2], [[1, 2]], [1, [2]], (1, 2), Point(1, 2), Elsewhere.Point(1, 2), [1, (2,)]],
        *[np.array([1, 2]), pd.Series([1, 2]), pd.Index([1, 2]), [[], []], [[[]]], [None], [None, None], ["1, 2"]],
        *[range(1, 3), range(1, 4, 2), range(1, 5, 2), slice(1, 3), slice(1, 3, 1), slice(3, 1)],
    ],
    "neighbours": [
        *[["a", "b"], ["asb"], ["as1:b"], ["a", "b", ""], [["a"], "b"], ["ab"], [b"a", b"b"], [b"ab"], ["", "ab"]],
        *[[1, struct.unpack("<d", b"NNNNNNNN")[0]], [0x1F, *[None] * 8], [1, 0xF], [0x1F], [0xF, 1], [1, [0xF]]],
        *[["bytes:"], b"list:s6:"],
    ],
    "mappings": [
        *[{"a": 1}, {"a": "1"}, {"b": 1}, {"a": 1, "b": 1}, {"a": {"b": 1}}, [("a", 1)], {("a", 1)}, Table(a=1)],
        *[collections.OrderedDict(a=1), collections.Counter(a=1), collections.defaultdict(int, a=1), Plain(a=1)],
        *[collections.defaultdict(None, a=1), types.SimpleNamespace(a=1), {1: "a"}, {True: "a"}, {1.0: "a"}],
        *[collections.OrderedDict([("a", 1), ("b", 2)]), collections.OrderedDict([("b", 2), ("a", 1)])],
        *[{"a": 1, "b": 2}, {"a": 2, "b": 1}, {b"a": 1}, {"a": None}, {None: "a"}, {"": "a"}, {"a": ""}],
        *[{frozenset({1}): {2}}, {frozenset({2}): {1}}, {(1, 2): 3}, {(1, 3): 2}, {("a",): 1}],
    ],
    "instances": [
        *[Order("a", {"b"}), Elsewhere.Order("a", {"b"}), Order("a", {"c"}), Order("a"), Order("b"), Slotted("a")],
        *[Box("a"), Box(Box("a")), Plain(), Plain(a=None), Model(), Model(name="b"), Model(tags={"a"}), Order, Box],
        *[Stateless(), AlsoStateless(), Stateless, AlsoStateless, ValueError("a"), TypeError("a"), ValueError("a", 1)],
        *["Order", ("a", {"b"}), {"name": "a", "tags": {"b"}}],
    ],
    "enumerations": [Color.RED, Color.BLUE, Size.LARGE, Access.READ, Access.WRITE, Access(0), 1, 3],
    "times": [
        *[dt.date(2024, 10, 27), dt.datetime(2024, 10, 27), dt.datetime(2024, 10, 27, 2), dt.time(2), dt.timedelta(2)],
        *[dt.datetime(2024, 10, 27, 2, tzinfo=zone) for zone in (dt.UTC, PARIS, BERLIN, AHEAD)],
        dt.datetime(2024, 10, 27, 2, fold=1),
        dt.datetime(2024, 10, 27, 2, tzinfo=PARIS, fold=1),
        dt.time(2, fold=1),
        pd.Timestamp(2024, 10, 27, 2),
        pd.Timestamp(2024, 10, 27, 2, tz="UTC"),
        np.datetime64("2024-10-27T02"),
        np.datetime64("2024-10-27T02:00"),
        pd.Timedelta(days=2),
        "2024-10-27",
    ],
    "paths": [pathlib.Path("a"), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), pathlib.Path("a/b"), "a"],
    "identifiers": [uuid.UUID(int=1), uuid.UUID(int=2), 1, str(uuid.UUID(int=1))],
    "code": [
        *[double, len, "double", fetch, fetch_other, fetch.with_retries(3), fetch.with_timeout(5), list, list[int]],
        *[functools.partial(double, 1), functools.partial(double, 2), functools.partial(double, number=1), "a".join],
        *["b".join, "a".split, list[str], np.add, np.subtract, int | None, int | str, fetch.with_retries(4)],
        fetch.with_retries(cf.Retries(3, when=KeyError)),
    ],
    "patterns": [re.compile("a"), re.compile("a", re.I), re.compile(b"a"), "a"],
    "references": [
        *[cf.Secret.env("A"), cf.Secret.env("B"), Asset("A", NoBlobs()), Asset("B", NoBlobs()), "A", handle(1)],
        *[[handle(1)], entry("a", "A"), entry("b", "A"), entry("a", "B"), entry("a", "A", 0o755), ("a", "A")],
        *[[handle(1), 1], [1, handle(1)], [handle(1), handle(2)], (handle(1),), {"a": handle(1)}, {"b": handle(1)}],
        *[{handle(1)}, {handle(1): 1}],
    ],
    "arrays": [
        *[np.zeros(4), np.zeros((2, 2)), np.zeros((4, 1)), np.zeros(4, "f4"), np.zeros(4, "i8"), np.zeros(4, ">f8")],
        *[np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(4, "M8[s]"), np.zeros(4, "M8[ms]"), np.zeros(5)],
        *[np.array(["ab"]), np.array([b"ab"]), np.array(["ab"], "O"), np.array(["ab"], "U3"), strings(["ab"])],
        *[np.array([[1, 2], [3, 4]]), np.array([[1, 3], [2, 4]]), -np.zeros(4)],
        *[np.array([1], "O"), np.array([1.0], "O")],
        *[np.ma.array([1, 2]), np.ma.array([1, 2], mask=[False, True]), np.zeros(4).view(np.recarray), [0.0] * 4],
        *[np.zeros(1, [("a", "f8")]), np.zeros(1, [("b", "f8")]), np.zeros(1, "V8")],
        *[np.zeros(4, "g"), np.zeros(4, "G"), np.array([None]), np.array([[None]]), np.array(None)],
    ],
    "frames": [
        pd.DataFrame({"a": [1]}),
        pd.DataFrame({"a": [1.0]}),
        pd.DataFrame({"b": [1]}),
        pd.DataFrame({"a": [1]}, index=["x"]),
        pd.DataFrame({"a": ["1"]}),
        pd.DataFrame({"a": pd.array([1], dtype="Int64")}),
        pd.DataFrame({"a": pd.Categorical([1])}),
        pd.DataFrame({"a": pd.Categorical([1], categories=[1, 2])}),
        pd.DataFrame({"a": pd.Categorical([1], categories=[1], ordered=True)}),
        pd.DataFrame({"a": [1], "b": [2]}),
        pd.DataFrame({"b": [2], "a": [1]}),
        pd.DataFrame({"a": []}),
        pd.Series([1]),
        pd.Series([1], name="a"),
        pd.Series(["a", None]),
        pd.Series(["a", None], dtype="string"),
        pd.Series(["a", None], dtype=object),
        pd.Series([None, "a"]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, None], dtype="Int32"),
        pd.Series([1, None]),
        pd.Series([True, None], dtype="boolean"),
        pd.Index([0]),
        pd.RangeIndex(1),
        pd.Index([0], name="x"),
        pd.date_range("2024", periods=3),
        pd.DatetimeIndex(pd.date_range("2024", periods=3), freq=None),
        pd.date_range("2024", periods=3, tz="UTC"),
        pd.date_range("2024", periods=3, tz="Europe/Paris"),
        pd.period_range("2024", periods=3, freq="D"),
        pd.timedelta_range(0, periods=3),
        pd.interval_range(0, 3),
        pd.interval_range(0, 3, closed="left"),
        pd.MultiIndex.from_tuples([(1, 2)]),
        pd.MultiIndex.from_tuples([(2, 1)]),
        pd.arrays.SparseArray([0, 1]),
        pd.arrays.SparseArray([1, 0]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("group", LOOK_ALIKES)
def test_look_alikes_have_different_keys(group: str) -> None:
    values = LOOK_ALIKES[group]
    alike: dict[Key, list[object]] = {}
    for value in values:
        alike.setdefault(key_of(value)._replace(references=()), []).append(value)
    assert [found for found in alike.values() if len(found) > 1] == []


def test_classes_of_one_name_differ_by_module(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("first_orders", "second_orders"):
        (tmp_path / f"{module}.py").write_text("class Order:\n    pass\n")
    import first_orders  # type: ignore[import-not-found]
    import second_orders  # type: ignore[import-not-found]

    assert key(first_orders.Order()) != key(second_orders.Order())
    assert key(first_orders.Order) != key(second_orders.Order)


def test_the_value_of_a_secret_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "one")
    before = key(cf.Secret.env("TOKEN"))
    monkeypatch.setenv("TOKEN", "two")
    assert key(cf.Secret.env("TOKEN")) == before
