"""Scenarios: how targets are defined (DEF), and what is not there yet."""

from __future__ import annotations

import pytest

from tests.engine.scratch import ScratchProject, kinds


def test_bare_decorators_define_targets(shared: ScratchProject) -> None:
    """DEF-S01, adapted: a decorator without parentheses works as one with them (behaviour 1.1)."""
    shared.write(
        "flow",
        """
        @cf.task
        def double(x):
            return 2 * x

        @cf.workflow
        def main(x: int):
            return double(x)
        """,
    )
    assert shared.run("flow/main", "4").value == 8


def test_every_kind_of_parameter_works(shared: ScratchProject) -> None:
    """DEF-S02, adapted: all signatures are accepted (behaviour 1.2)."""
    shared.write(
        "flow",
        """
        @cf.task()
        def collect(first, /, second, *rest, key=None, **more):
            return [first, second, list(rest), key, more]

        @cf.workflow()
        def main():
            return [collect(1, 2), collect(1, second=2, key=3), collect(1, 2, 3, 4, key=5, extra=6)]
        """,
    )
    assert shared.run("flow/main").value == [
        [1, 2, [], None, {}],
        [1, 2, [], 3, {}],
        [1, 2, [3, 4], 5, {"extra": 6}],
    ]


@pytest.mark.parametrize(
    "option",
    [
        'wait="nope"',  # DEF-S04
        'memo=["nope"]',
        'cache=cf.Cache(params="nope")',  # DEF-S05
        'defer=cf.Defer(params="nope")',
    ],
)
def test_an_unknown_parameter_in_an_option_is_refused_where_the_target_is_defined(
    shared: ScratchProject, option: str
) -> None:
    """DEF-S04, DEF-S05: the decorator raises, so that no step is ever made."""
    path = shared.write(
        "flow",
        f"""
        @cf.task({option})
        def child(x):
            mark("child")

        @cf.workflow()
        def main():
            child(1)
        """,
    )
    finished = shared.run("flow/main")
    assert (finished.status, finished.out) == (2, "")
    assert "nope" in finished.err
    assert "child" in finished.err
    assert f"{path}:" in finished.err
    assert shared.marks() == []


def test_zero_false_and_no_retries_mean_one_attempt(shared: ScratchProject) -> None:
    """DEF-S06."""
    shared.write(
        "flow",
        """
        def failing(name, retries):
            @cf.task(name=name, retries=retries)
            def fail():
                raise ValueError(name)
            return fail

        tasks = [failing("zero", 0), failing("false", False), failing("none", cf.Retries(0)), failing("two", 2)]

        @cf.workflow()
        def main():
            for handle in [task.submit() for task in tasks]:
                try:
                    handle.result()
                except ValueError:
                    pass
        """,
    )
    document = shared.document("flow/main")
    counts = {name: len(kinds(document, name)[0]) for name in ("zero", "false", "none", "two")}
    assert counts == {"zero": 1, "false": 1, "none": 1, "two": 3}


def test_options_of_one_call_site_leave_the_target_alone(shared: ScratchProject) -> None:
    """DEF-S08."""
    shared.write(
        "flow",
        """
        @cf.task()
        def flaky(name):
            first = not os.path.exists(path := os.path.join(cf.project_dir(), name))
            open(path, "w").close()
            if first:
                raise ValueError(name)
            return name

        @cf.workflow()
        def main():
            one = flaky.with_retries(1).with_timeout(5).submit("changed.txt")
            two = flaky.submit("plain.txt")
            try:
                two.result()
            except ValueError:
                return one.result()
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "changed.txt"
    assert kinds(document, "flaky") == [["failed", "succeeded"], ["failed"]]


def test_an_async_workflow_gives_its_value(shared: ScratchProject) -> None:
    """DEF-S09."""
    shared.write(
        "flow",
        """
        import asyncio

        @cf.task()
        def double(x):
            return 2 * x

        @cf.workflow()
        async def main():
            await asyncio.sleep(0)
            return {"doubled": double(4), "awaited": await double.submit(5)}
        """,
    )
    assert shared.run("flow/main").value == {"doubled": 8, "awaited": 10}


def test_async_tasks_are_awaited_together(shared: ScratchProject) -> None:
    """Behaviour 1.2: `await` waits without blocking the loop, so `gather` waits for all at once."""
    shared.write(
        "flow",
        """
        import asyncio

        @cf.task()
        async def child(name):
            mark(f"{name} started")
            while not os.path.exists(os.path.join(os.environ["COFLUX_TEST_GATES"], name)):
                await asyncio.sleep(0.005)
            return name

        @cf.task()
        def fail():
            raise KeyError("lost")

        async def open_gates():
            mark("the loop runs on")
            for name in ("b", "a"):
                open(os.path.join(os.environ["COFLUX_TEST_GATES"], name), "w").close()

        @cf.workflow()
        async def main():
            handles = [child.submit(name) for name in ("a", "b")]
            names = await asyncio.gather(*handles, open_gates())
            errors = await asyncio.gather(fail.submit(), child.submit("a"), return_exceptions=True)
            return [names, isinstance(errors[0], KeyError), errors[1]]
        """,
    )
    finished = shared.run("flow/main")
    assert finished.value == [["a", "b", None], True, "a"], finished.err
