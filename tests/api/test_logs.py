"""Structured logs: what is recorded, and how it reads."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import coflux as cf
from coflux.logs import Level, render
from tests.api.fake_engine import FakeEngine


def test_levels() -> None:
    assert [(level.name, level.value) for level in Level] == [
        ("DEBUG", 0),
        ("STDOUT", 1),
        ("INFO", 2),
        ("STDERR", 3),
        ("WARNING", 4),
        ("ERROR", 5),
    ]


@pytest.mark.parametrize(
    ("log", "level"), [(cf.log_debug, 0), (cf.log_info, 2), (cf.log_warning, 4), (cf.log_error, 5)]
)
def test_template_and_values_are_stored_apart(engine: FakeEngine, log: Any, level: int) -> None:
    log("loaded {rows}", rows=3, template="t", level="l", values=None)
    assert engine.entries == [(level, "loaded {rows}", {"rows": 3, "template": "t", "level": "l", "values": None})]


def test_template_by_name_and_no_template(engine: FakeEngine) -> None:
    cf.log_info(template="loaded", rows=3)
    cf.log_info(rows=3)
    assert engine.entries == [(2, "loaded", {"rows": 3}), (2, None, {"rows": 3})]


def test_template_must_be_text() -> None:
    with pytest.raises(TypeError, match=r"a log template must be a str, not 5: pass values by keyword"):
        cf.log_info(5)  # type: ignore[arg-type]


def test_outside_a_run_entries_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    cf.log_warning("loaded {rows} rows", rows=3, user="ada")
    cf.log_debug(x=1)
    output = capsys.readouterr()
    assert output.err == "warning: loaded 3 rows user=ada\ndebug: x=1\n"
    assert output.out == ""


def test_without_a_standard_error_entries_go_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    cf.log_info("hello")


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        (None, {}, ""),
        ("plain", {}, "plain"),
        ("{a} and {a}", {"a": 1}, "1 and 1"),
        ("{a}{b}", {"a": "{b}", "b": "{a}"}, "{b}{a}"),
        ("{unknown} {}", {"a": 1}, "{unknown} {} a=1"),
        ("{two words}", {"two words": 1}, "1"),
        ("{{a}}", {"a": 1}, "{1}"),
        ("x", {"b": 2, "a": 1}, "x b=2 a=1"),
        (None, {"b": 2, "a": "text"}, "b=2 a=text"),
        ("x", {"a": "two words", "b": "", "c": "k=v", "d": "'"}, "x a='two words' b='' c='k=v' d=\"'\""),
        ("{a}", {"a": "two words"}, "two words"),
        ("{d} {n} {l}", {"d": Decimal("1.50"), "n": None, "l": (1, "a")}, "1.50 None (1, 'a')"),
    ],
)
def test_render(template: str | None, values: dict[str, object], text: str) -> None:
    assert render(template, values) == text


def test_a_handle_reads_as_its_target() -> None:
    handle: cf.Execution[int] = cf.Execution("R1:2:1", module="flows", target="load")
    assert render("{h}", {"h": handle}) == "<Execution R1:2:1 of flows/load>"


@given(st.dictionaries(st.sampled_from("abc"), st.text(alphabet="{}abc"), min_size=1))
def test_values_are_never_expanded_again(values: dict[str, str]) -> None:
    template = "|".join(f"{{{key}}}" for key in values)
    assert render(template, values) == "|".join(values.values())
