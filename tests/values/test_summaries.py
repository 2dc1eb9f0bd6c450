"""The lines that people are shown who want more than a preview."""

from __future__ import annotations

import dataclasses
import textwrap
import time
from typing import Any

import msgspec
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.executor.blobs import FileBlobs
from coflux.handles import Execution
from coflux.previews import Texts, preview
from coflux.summaries import summarize
from coflux.values import Reference, encode, pack, summary_of
from tests.naming import named
from tests.values.value_kinds import CONTAINERS, KINDS


@dataclasses.dataclass
class Report:
    title: str
    rows: list[int]
    notes: dict[str, str]


class Model(pydantic.BaseModel):
    title: str
    rows: list[int]


class Drawn:
    """As a pipeline of scikit-learn or a module of torch is."""

    def __repr__(self) -> str:
        return "Drawn(\n  (0): left\n\t(1): \x1b[31mright\n)"


def summary(value: object) -> str | None:
    texts = Texts()
    return summarize(value, preview(value, None, texts), texts)


def lines(value: object) -> list[str]:
    text = summary(value)
    assert text is not None
    return text.split("\n")


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        1.5,
        "two\nlines",
        [1, 2],
        {"a": [1, (2,)]},
        b"ab",
        {"a": np.zeros(3)},
        Report("a", [1], {}),
        pd.DataFrame(),
    ],
    ids=named,
)
def test_where_the_preview_shows_everything_there_is_none(value: object) -> None:
    assert summary(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            pd.DataFrame(
                {"a": pd.Categorical(["x", "longer"]), "b": [0.125, 10.0]}, index=pd.Index(["p", "q"], name="k")
            ),
            """
            DataFrame (2, 2) 42 bytes
            k  a               b
               category  float64
            p  x           0.125
            q  longer         10
            """,
        ),
        (
            pd.DataFrame({"day": pd.to_datetime([0])}, index=pd.MultiIndex.from_tuples([("a", 1)])),
            """
            DataFrame (1, 1) 8 bytes
                                      day
                           datetime64[ns]
            ('a', 1)  1970-01-01 00:00:00
            """,
        ),
        (
            pd.Series([1.5, None], name="s", index=["x", "y"]),
            """
            Series float64 (2,) 16 bytes
                     s
               float64
            x      1.5
            y      nan
            """,
        ),
        (
            pl.DataFrame({"a": [1, 2], "b": [1.5, 0.0]}),
            """
            DataFrame (2, 2) 32 bytes
                   a        b
               Int64  Float64
            0      1      1.5
            1      2        0
            """,
        ),
        (
            pa.table({"a": [1, 2], "b": [1.5, 0.0]}),
            """
            Table (2, 2) 32 bytes
                   a       b
               int64  double
            0      1     1.5
            1      2       0
            """,
        ),
        (
            np.arange(6.0).reshape(2, 3) / 4,
            """
            ndarray float64 (2, 3) 48 bytes
            from 0 to 1.25
               0  0.25   0.5
            0.75     1  1.25
            """,
        ),
        (
            np.arange(27, dtype="i1").reshape(3, 3, 3),
            """
            ndarray int8 (3, 3, 3) 27 bytes
            from 0 to 26
            [0]:
            0  1  2
            3  4  5
            6  7  8
            """,
        ),
        (np.array(["a", None], dtype=object), "ndarray object (2,) 16 bytes\na  None"),
        (np.array(7), "ndarray int64 () 8 bytes\nfrom 7 to 7\n7"),
        (Drawn(), "Drawn(\n  (0): left\n        (1): \\x1b[31mright\n)"),
        ("a\n\tb\n\x1b[0m", "str of 9 characters\na\n        b\n\\x1b[0m"),
    ],
    ids=named,
)
def test_what_is_shown(value: Any, expected: str) -> None:
    assert summary(value) == textwrap.dedent(expected).strip("\n")


@pytest.mark.parametrize(
    ("value", "count", "last"),
    [
        (pd.DataFrame({"a": range(1000)}), 24, "… and 980 more rows"),
        (pd.DataFrame(np.zeros((3, 300))), 7, "… and 288 more columns"),
        (np.ones((5000, 5000), dtype="i1"), 23, "… and 4,980 more rows"),
        (np.ones(1000), 23, "… and 760 more elements"),
        (list(range(1000)), 25, "  … and 977 more"),
        ({index: str(index) for index in range(1000)}, 25, "  … and 977 more"),
        (set(range(1000)), 25, "  … and 977 more"),
        ("line\n" * 1000, 25, "…"),
        ("x" * 100_000, 25, "…"),
        (b"line\n" * 1000, 25, "…"),
        (bytes(1_000_000), 18, "…"),
    ],
    ids=named,
)
def test_what_is_big_is_cut(value: object, count: int, last: str) -> None:
    shown = lines(value)
    assert (len(shown), shown[-1]) == (count, last)


def test_parts_have_a_line_each() -> None:
    assert lines(Report("a" * 300, list(range(100)), {"k": "v"}))[::3] == [f"{__name__}.Report", "  notes = {'k': 'v'}"]
    assert lines(Model(title="a" * 300, rows=[1]))[2] == "  rows = [1]"
    assert lines({"key": [1], "long": "x" * 300})[:2] == ["dict of 2", "  'key': [1]"]
    assert lines([{"a": 1}] * 50)[:2] == ["list of 50", "  [ 0] {'a': 1}"]


def test_text_in_bytes_is_shown_as_text_and_other_bytes_in_hexadecimal() -> None:
    assert lines("häß\n".encode() * 100)[:3] == ["bytes of 600, text", "häß", "häß"]
    assert lines(bytes(range(256)))[3] == (
        "00000020  20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f   !\"#$%&'()*+,-./"
    )


class Slow:
    asked = 0

    def __repr__(self) -> str:
        Slow.asked += 1
        time.sleep(0.01)
        return "x" * 60


def test_no_part_is_asked_twice_and_not_for_long() -> None:
    parts = [Slow() for _ in range(100)]
    start = time.monotonic()
    shown = lines(parts)
    assert Slow.asked < 20
    assert time.monotonic() - start < 2
    assert shown[1] == f"  [ 0] {'x' * 60}"
    assert shown[-1].startswith("  … and ")


class Broken(np.ndarray[Any, Any]):
    def tolist(self) -> Any:
        raise ValueError("not today")


def test_what_fails_has_none(blobs: FileBlobs) -> None:
    assert summary(np.zeros(3).view(Broken)) is None
    assert encode(np.zeros(3).view(Broken), blobs).summary is None


def test_readers_have_it_of_any_value_and_without_loading_it(blobs: FileBlobs) -> None:
    assert summary_of(encode(np.arange(3), blobs)) == "ndarray int64 (3,) 24 bytes\nfrom 0 to 2\n0  1  2"
    assert summary_of(encode("a\nb\nc", blobs)) == "str of 5 characters\na\nb\nc"  # made of its data
    assert summary_of(encode([1], blobs)) is None
    assert summary_of(pack(np.arange(3), blobs)) is None  # nobody looks at it


def test_handles_show_the_id_that_the_engine_gave_them(blobs: FileBlobs) -> None:
    handle: Execution[Any] = Execution.from_reference(Reference("execution", "@1", "app", "f"))
    encoded = encode(["x" * 300, handle], blobs)
    known = msgspec.structs.replace(encoded, references=(Reference("execution", "R1:2:1", "app", "f"),))
    text = summary_of(known)
    assert text is not None
    assert text.split("\n")[2] == "  [1] <Execution R1:2:1 of app/f>"


@given(
    st.builds(
        lambda kind, container, count: [CONTAINERS[container](KINDS[kind]()) for _ in range(count)],
        st.sampled_from(sorted(KINDS)),
        st.sampled_from(sorted(CONTAINERS)),
        st.sampled_from([1, 40]),
    )
    | st.sampled_from(sorted(KINDS)).map(lambda kind: KINDS[kind]())
    | st.text(st.characters(), min_size=200)
    | st.binary(min_size=300)
)
def test_any_summary_is_some_lines_of_printable_text(value: object) -> None:
    text = summary(value)
    if text is not None:
        shown = text.split("\n")
        assert len(text.encode()) <= 4096
        assert len(shown) <= 25
        assert all(len(line) <= 120 and line.isprintable() for line in shown)
