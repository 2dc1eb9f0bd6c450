"""What a command line may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from coflux.cli import exits
from coflux.cli.targets import RunId, Sources, Target, parse_id, parse_sources, parse_target


@pytest.fixture(autouse=True)
def in_a_directory_with_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "flow.py").touch()
    (tmp_path / "flow.py").touch()
    monkeypatch.chdir(tmp_path)


def test_targets(tmp_path: Path) -> None:
    assert parse_target("app.flows/nightly") == Target("app.flows", "", "nightly")
    assert parse_target("flow.py") == Target("", str(tmp_path / "flow.py"), "")
    assert parse_target("jobs/flow.py/nightly") == Target("", str(tmp_path / "jobs" / "flow.py"), "nightly")
    assert parse_target(f"{tmp_path}/flow.py/my target") == Target("", str(tmp_path / "flow.py"), "my target")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.py/nightly", "there is no file missing.py"),
        ("flow.py/", "'flow.py/' names no target: write flow.py/NAME, or flow.py for its only workflow"),
        ("app.flows:nightly", "; did you mean 'app.flows/nightly'?"),
        ("flow", "; did you mean 'flow.py'?"),
        ("app/", "'app/' is no target: write module/name, path/to/file.py/name or path/to/file.py"),
        ("/nightly", "is no target"),
        ("", "is no target"),
    ],
)
def test_what_is_no_target_is_a_usage_error(text: str, message: str) -> None:
    with pytest.raises(exits.CommandError) as caught:
        parse_target(text)
    assert message in str(caught.value)
    assert caught.value.status == exits.USAGE


def test_sources(tmp_path: Path) -> None:
    assert parse_sources(("app.flows", "flow.py")) == Sources(("app.flows",), (str(tmp_path / "flow.py"),))
    with pytest.raises(exits.CommandError, match="'a-b' is neither a module"):
        parse_sources(("a-b",))


def test_ids() -> None:
    assert parse_id("R7QK") == RunId("R7QK", None, None)
    assert parse_id("R7QK:2") == RunId("R7QK", 2, None)
    assert parse_id("R7QK:2:10") == RunId("R7QK", 2, 10)


@pytest.mark.parametrize("text", ["", "R7QK:", "R7QK:x", "R7QK:0", "R7QK:1:2:3", "../etc"])
def test_what_is_no_id_is_not_found(text: str) -> None:
    with pytest.raises(exits.CommandError) as caught:
        parse_id(text)
    assert caught.value.status == exits.NOT_FOUND
