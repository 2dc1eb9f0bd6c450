"""Values of log entries: types for people, plain data for scripts."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coflux.encoded import Reference
from coflux.executor import log_values
from coflux.handles import Execution
from coflux.logs import render
from tests.naming import named


def handle(identifier: str) -> Execution[Any]:
    return Execution.from_reference(Reference("execution", identifier, "app", "f"))


@pytest.mark.parametrize(
    ("value", "text", "data"),
    [
        (None, "None", None),
        (True, "True", True),
        (2.0, "2.0", 2.0),
        (float("inf"), "inf", "Infinity"),
        (2**70, str(2**70), 2**70),
        ("two words", "'two words'", "two words"),
        ("\udcff", "\\udcff", "\\udcff"),
        (["two words"], "['two words']", ["two words"]),
        ((1, "a"), "(1, 'a')", [1, "a"]),
        (set(), "set()", []),
        (b"x", "b'x'", "b'x'"),
        ({"a": {1: (2,)}}, "{'a': {1: (2,)}}", {"a": {"1": [2]}}),
        ({"$repr": "x"}, "{'$repr': 'x'}", {"$repr": "x"}),
        ({"$repr": "x", "$json": b""}, "{'$repr': 'x', '$json': b''}", "{'$repr': 'x', '$json': b''}"),
    ],
    ids=named,
)
def test_a_value_as_text_and_as_data(value: object, text: str, data: object) -> None:
    encoded, references = log_values.encode({"v": value})
    assert references == ()
    assert render(None, log_values.texts(encoded)) == f"v={text}"
    assert log_values.decode(encoded) == {"v": data}


def test_no_values() -> None:
    assert log_values.encode({}) == (b"", ())
    assert log_values.decode(None) == log_values.texts(None) == log_values.decode(b"") == {}


def test_handles_get_their_ids_where_they_are_known() -> None:
    one, two = handle("@1"), handle("@2")
    mark = chr(0xF0000)
    encoded, references = log_values.encode({"a": [two, (one, two)], "b": {"x": one}, "n": 2**70, "text": mark})
    assert [reference.id for reference in references] == ["@2", "@1"]
    known = log_values.with_ids(encoded, ["R1:3:1", "R1:2:1"])
    first, second = "<Execution R1:2:1 of app/f>", "<Execution R1:3:1 of app/f>"
    assert render("{a} {b} {n} {text}", log_values.texts(known)) == (
        f"[{second}, ({first}, {second})] {{'x': {first}}} {2**70} {mark}"
    )
    data = {"$execution": "R1:2:1"}, {"$execution": "R1:3:1"}
    assert log_values.decode(known) == {
        "a": [data[1], [data[0], data[1]]],
        "b": {"x": data[0]},
        "n": 2**70,
        "text": mark,
    }


def test_texts_are_cut_with_a_marker_and_always_storable() -> None:
    limit = log_values.TEXT_LIMIT
    marker = " … 1,000 characters dropped"
    assert log_values.clip("x" * limit) == "x" * limit
    assert log_values.clip("x" * (limit + 1000)) == "x" * limit + marker
    assert log_values.clip("\ud800") == "\\ud800"
    encoded, _ = log_values.encode({"text": "x" * (limit + 1000)})
    assert log_values.decode(encoded) == {"text": "x" * limit + marker}


def test_a_handle_that_cannot_be_sent_is_shown() -> None:
    encoded, references = log_values.encode({"h": Execution.finished("app", "f", 1)})
    assert references == ()
    assert log_values.decode(encoded)["h"].startswith("<Execution local:")


@example({"": {"\ud800": [None, "\ud83d\ude00 \udc00"]}})
@given(
    st.dictionaries(
        st.text(st.characters()),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
            lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(st.characters()), inner),
        ),
    )
)
def test_any_values_are_strict_json_with_a_text(values: dict[str, object]) -> None:
    encoded, _ = log_values.encode(values)
    if encoded:
        json.loads(encoded, parse_constant=pytest.fail)
    msgspec.json.encode(log_values.decode(encoded))
    render(None, log_values.texts(encoded))
