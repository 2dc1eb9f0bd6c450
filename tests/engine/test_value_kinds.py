"""Values of all kinds on every way between processes: a call, the cache, and the cache after a restart."""

from __future__ import annotations

from pathlib import Path

from tests.engine.scratch import ScratchProject

ROOT = Path(__file__).parents[2]


def test_all_kinds_come_back_as_they_were(project: ScratchProject) -> None:
    """Behaviour 10.1, D19, D09, D13, SER-S01 to SER-S08; a result from the cache is read by another engine, too."""
    project.write(
        "flow",
        """
        from tests.values.sameness import difference
        from tests.values.value_kinds import HOLDERS, KINDS

        NAMES = sorted(KINDS.keys() - {"handle"})  # of no run

        @cf.task()
        def echo(values):
            return values

        @cf.task(cache=True)
        def produce(names: list[str]):
            mark("produced")
            return {name: KINDS[name]() for name in names}

        @cf.task()
        def seven():
            return 7

        @cf.task()
        def hold():
            return {name: hold(seven.submit()) for name, hold in HOLDERS.items()}

        def differences(values):
            pairs = [(name, difference(values[name], KINDS[name]())) for name in NAMES]
            return [f"{name}: {problem}" for name, problem in pairs if problem]

        @cf.task()
        def compare(values):
            return differences(values)

        @cf.workflow()
        def main():
            made = {name: KINDS[name]() for name in NAMES}
            return [compare(echo(made)), differences(produce(NAMES)), differences(produce(NAMES))]

        @cf.workflow()
        def handles():
            handle = seven.submit()
            assert handle.result() == 7
            held = {name: hold(handle) for name, hold in HOLDERS.items()}
            back = echo(held)
            assert not (problem := difference(back, held)), problem
            assert back["dataclass"].tags.result() == back["DataFrame of objects"]["b"][0].result() == 7
            assert [handle.result() for handle in hold()["set"]] == [7]
        """,
    )
    # Some kinds are made of sets, in whose order they are.
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    first = project.run("flow/main", **environment)
    assert first.value == [[], [], []], first.err
    project.stop()
    second = project.run("flow/main", **environment)
    assert second.value == [[], [], []], second.err
    assert len(project.marks("produced")) == 1
    again = project.coflux("runs", "rerun", f"{project.last_run()}:3", **environment)
    assert again.value == [], again.err
    finished = project.run("flow/handles", **environment)
    assert finished.status == 0, finished.err
