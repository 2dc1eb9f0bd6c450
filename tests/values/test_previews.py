"""What readers are shown: a line for people and JSON for scripts, without loading the value."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import sys
import threading
import uuid
from typing import Any, NamedTuple, NoReturn

import msgspec
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.executor.blobs import FileBlobs
from coflux.handles import Execution
from coflux.previews import preview
from coflux.values import Reference, decode, encode, json_of, preview_of


class Point(NamedTuple):
    x: int
    y: object = None


class Color(enum.Enum):
    RED = "#f00"


@dataclasses.dataclass
class Order:
    name: str
    parts: object = None


@dataclasses.dataclass
class Named:
    name: str

    def __repr__(self) -> str:
        return f"<order of {self.name}>"


class Plain:
    pass


class BadRepr:
    def __repr__(self) -> NoReturn:
        raise ValueError("no")


class Multiline:
    def __repr__(self) -> str:
        return "two\nlines \x1b[31mred\u202e"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "None"),
        (-0.0, "-0.0"),
        ("it's", '"it\'s"'),
        ("a\n\x1b[0m\u202e\udcff☃", r"'a\n\x1b[0m\u202e\udcff☃'"),
        (b"\0", r"b'\x00'"),
        (bytearray(b"x"), "bytearray(b'x')"),
        ([1, (2,), {3}, frozenset(), set(), {"a": ()}], "[1, (2,), {3}, frozenset(), set(), {'a': ()}]"),
        (frozenset([1]), "frozenset({1})"),
        (collections.deque([1]), "deque([1])"),
        (collections.OrderedDict(a=1), "OrderedDict({'a': 1})"),
        (Point(1), "Point(x=1, y=None)"),
        (Order("o", [Color.RED]), "Order(name='o', parts=[Color.RED])"),
        (Named("x"), "<order of x>"),
        (Plain(), f"<{__name__}.Plain object>"),
        (Plain, f"<class '{__name__}.Plain'>"),
        (math.sqrt, "<function sqrt>"),
        ([BadRepr(), 1], "[<BadRepr object, repr failed: ValueError>, 1]"),
        (Multiline(), r"two\nlines \x1b[31mred\u202e"),
        (10**5000, "<int of 16610 bits>"),
        (np.zeros((512, 512)), "ndarray float64 (512, 512) 2 MiB"),
        (np.float64(1.5), "np.float64(1.5)"),
        ({"a": np.zeros(3, "i4")}, "{'a': ndarray int32 (3,) 12 bytes}"),
        (pd.DataFrame({"a": [1, 2], "b": [1.5, 2.5]}), "DataFrame (2, 2) 32 bytes"),
        (pd.Series([1.5]), "Series float64 (1,) 8 bytes"),
        (pl.Series([1, 2, 3]), "Series Int64 (3,) 24 bytes"),
        (pl.DataFrame({"a": [1, 2, 3]}), "DataFrame (3, 1) 24 bytes"),
        (pa.table({"a": [1, 2]}), "Table (2, 1) 16 bytes"),
        (bytes(2_000_000), f"<bytes, 1.91 MiB: {bytes(32)!r}…>"),
        (bytearray(1536), f"<bytearray, 1.5 KiB: {bytes(32)!r}…>"),
        (decimal.Decimal("1.50"), "Decimal('1.50')"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_preview(value: object, line: str) -> None:
    assert preview(value) == line


def deep(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def endless() -> object:
    value: list[object] = []
    value.append(value)
    return value


class Endless:
    def __repr__(self) -> str:
        return repr([self])


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**7,
        b"x" * 10**7,
        list(range(10**6)),
        {i: i for i in range(10**5)},
        deep(100_000),
        Endless(),
        endless(),
        Order("a", "\n" * 10**6),
        ["\x1b"] * 300,
        "☃" * 300,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_preview_is_one_short_line_whatever_the_value(value: object) -> None:
    line = preview(value)
    assert len(line) <= 200
    assert line.isprintable()


def test_a_cut_preview_says_so() -> None:
    assert preview("x" * 1000) == "'" + "x" * 198 + "…"
    assert preview("x" * 198) == "'" + "x" * 198 + "'"


def test_previews_do_not_import_numpy() -> None:
    class ndarray:  # noqa: N801
        shape = (1, 2)
        dtype = "float64"

    ndarray.__module__ = "torch.nowhere"
    assert preview(ndarray()) == "ndarray float64 (1, 2)"
    assert "torch" not in sys.modules


# -- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "projection"),
    [
        ({"a": [1, 2.5, None]}, {"a": [1, 2.5, None]}),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset(["b", "a"]), ["a", "b"]),
        ({1: "a", None: "b", (1, 2): "d", Color.RED: "e"}, {"1": "a", "null": "b", "[1,2]": "d", "#f00": "e"}),
        ({1: "a", "1": "b"}, None),
        (Order("o", Point(1, 2)), {"name": "o", "parts": {"x": 1, "y": 2}}),
        (dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC), "2024-01-02T03:00:00+00:00"),
        (dt.date(2024, 1, 2), "2024-01-02"),
        (dt.time(1, 2), "01:02:00"),
        (dt.timedelta(minutes=1), 60.0),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a"), "/a"),
        (Color.RED, "#f00"),
        ([math.nan, math.inf, -math.inf], ["NaN", "Infinity", "-Infinity"]),
        (2**70, 2**70),
        (10**5000, None),
        (np.float32(1.5), 1.5),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array([1, np.nan]), [1.0, "NaN"]),
        (np.longdouble(1), None),
        (np.array(7), 7),
        (b"bytes", None),
        ([1, b"bytes"], None),
        ([Plain()], None),
        (1 + 2j, None),
        ("\udcff☃", "\udcff☃"),
        (endless(), None),
        (deep(400), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_projection(value: object, projection: object, blobs: FileBlobs) -> None:
    text = json_of(encode(value, blobs))
    assert (None if text is None else json.loads(text)) == projection
    if text is not None:
        text.encode()


def test_a_projection_is_limited_unless_it_is_wanted_in_full(blobs: FileBlobs) -> None:
    for value in ([0] * 2_500, "x" * 70_000, {"a": np.zeros(2_500)}, {str(number): () for number in range(2_500)}):
        assert json_of(encode(value, blobs)) is None
        text = json_of(encode(value, blobs, full_json=True))
        assert text is not None
        json.loads(text)
    assert json_of(encode([0] * 1_900, blobs)) is not None


def test_handles_show_the_id_that_the_engine_gave_them(blobs: FileBlobs) -> None:
    handle: Execution[Any] = Execution.from_reference(Reference("execution", "@1", "app", "f"))
    encoded = encode({"child": [handle]}, blobs)
    known = msgspec.structs.replace(encoded, references=(Reference("execution", "R1:2:1", "app", "f"),))
    assert json_of(known) == '{"child":[{"$execution":"R1:2:1"}]}'
    assert preview_of(known) == "{'child': [<Execution R1:2:1 of app/f>]}"


@pytest.mark.parametrize("length", range(150, 200))
def test_a_preview_with_ids_is_as_short_as_any(length: int, blobs: FileBlobs) -> None:
    handles: list[Execution[Any]] = [
        Execution.from_reference(Reference("execution", f"@{number}", "app", "f")) for number in (1, 2)
    ]
    encoded = encode(["x" * length, *handles], blobs)
    references = tuple(Reference("execution", f"R1:{number}:1", "app", "f") for number in (100, 200))
    text = preview_of(msgspec.structs.replace(encoded, references=references))
    full = f"['{'x' * length}', <Execution R1:100:1 of app/f>, <Execution R1:200:1 of app/f>]"
    assert text == full[:199] + "…"


def test_text_that_looks_like_a_mark_stays_text(blobs: FileBlobs) -> None:
    handle: Execution[Any] = Execution.from_reference(Reference("execution", "R1:2:1", "app", "f"))
    encoded = encode([chr(0xF0000), handle], blobs)
    assert preview_of(encoded) == "['\\U000f0000', <Execution R1:2:1 of app/f>]"


def test_a_value_that_raises_when_it_is_looked_at_has_no_projection(blobs: FileBlobs) -> None:
    order = Order("a")
    del order.__dict__["name"]
    assert json_of(encode(order, blobs)) is None


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("a reader has loaded the value",)

    def __repr__(self) -> str:
        return "Bomb()"


def test_readers_never_load_a_value(blobs: FileBlobs) -> None:
    encoded = encode([Bomb()], blobs)
    assert preview_of(encoded) == "[Bomb()]"
    assert json_of(encoded) is None


def test_readers_get_small_plain_values_from_their_data(blobs: FileBlobs) -> None:
    encoded = encode({"a": 1}, blobs)
    assert preview_of(encoded) == "{'a': 1}"
    assert json_of(encoded) == '{"a":1}'


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.just(Plain()),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.tuples(st.text()), inner)
        | inner.map(lambda part: Order("a", part))
    ),
)


@given(values)
def test_any_preview_is_one_short_line_and_any_projection_is_strict_json(value: object) -> None:
    encoded = encode(value, FileBlobs("/nowhere"))
    line = preview_of(encoded)
    assert len(line) <= 200
    assert line.isprintable()
    text = json_of(encoded)
    if text is not None:
        text.encode()
        json.loads(text, parse_constant=pytest.fail)


def test_encoding_is_safe_in_threads(blobs: FileBlobs) -> None:
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(decode(encode((n, lambda: n), blobs), blobs)))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result[0] for result in results if isinstance(result, tuple)) == list(range(8))
