"""What the options of `run`, `runs rerun` and `runs resume` come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coflux.cli import exits, foreground
from coflux.cli.app import run
from coflux.cli.following import Form
from coflux.cli.foreground import Again, Request
from coflux.executor.messages import RunOptions
from tests.cli.samples import recording, succeeded

FORM = Form(as_json=False, events=False, raw=False, detach=False, no_wait_children=False, no_ui=False)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Form]]:
    """What would be asked of the engine."""
    requests: list[tuple[Any, Form]] = []

    def note(project: object, request: Any, form: Form) -> int:
        requests.append((request, form))
        return exits.SUCCEEDED

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COFLUX_DATA_DIR", raising=False)
    monkeypatch.setattr(foreground, "run", note)
    monkeypatch.setattr(foreground, "rerun", note)
    return requests


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], RunOptions()),
        (["--memo"], RunOptions(memo=True)),
        (["--no-memo"], RunOptions(memo=False)),
        (["--no-cache"], RunOptions(cache=False)),
        (["--workspace", "mine"], RunOptions(workspace="mine")),
        (["--requires", "gpu"], RunOptions(requires={"gpu": True})),
        (["--requires", "gpu=false"], RunOptions(requires={"gpu": False})),
        (
            ["--requires", "gpu=A100", "--requires", "disk", "--requires", "gpu=H100"],
            RunOptions(requires={"gpu": ["A100", "H100"], "disk": True}),
        ),
        (["--requires", "key=a=b"], RunOptions(requires={"key": ["a=b"]})),
        (["--no-requires"], RunOptions(requires={})),
        (["--detach"], RunOptions(detach=True)),
    ],
)
def test_options_of_a_run(asked: list[tuple[Any, Form]], words: list[str], options: RunOptions) -> None:
    assert run(["run", *words, "app/main", "--memo"]) == exits.SUCCEEDED
    [(request, _)] = asked
    assert isinstance(request, Request)
    assert (request.options, request.words) == (options, ("--memo",))


@pytest.mark.parametrize(
    ("words", "again", "form"),
    [
        (["rerun", "Rb"], Again("Rbcd", 1, ""), FORM),
        (["rerun", "Rbcd:2", "--json"], Again("Rbcd", 2, ""), FORM._replace(as_json=True)),
        (["rerun", "Rbcd:2:1", "--workspace", "mine"], Again("Rbcd", 2, "mine"), FORM),
        (["resume", "Rbcd", "--detach"], Again("Rbcd", 1, "", resume=True), FORM._replace(detach=True)),
    ],
)
def test_what_is_executed_again(
    asked: list[tuple[Any, Form]], tmp_path: Path, words: list[str], again: Again, form: Form
) -> None:
    with recording(tmp_path / ".coflux") as recorder:
        recorder.run("succeeded", settled=True)
        for step in (1, 2):
            recorder.step(step, "nightly")
            recorder.execution(step, "succeeded", succeeded("1"))
        recorder.commit()
    assert run(["runs", *words]) == exits.SUCCEEDED
    assert asked == [(again, form)]
