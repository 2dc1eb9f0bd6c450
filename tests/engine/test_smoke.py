from __future__ import annotations

from tests.engine.scratch import ScratchProject, kinds


def test_a_workflow_runs(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.task()
        def add(a, b):
            mark("add")
            return a + b

        @cf.workflow()
        def main(x: int):
            return add(x, add.submit(1, 2).result())
        """,
    )
    finished = project.run("flow/main", "4")
    assert (finished.status, finished.value) == (0, 7), finished.err
    assert "waiting for" not in finished.err  # it leaves when the run has settled, and not a second later
    assert len(project.marks("add")) == 2
    assert kinds(project.document("flow/main", "1"), "add") == [["succeeded"], ["succeeded"]]
