"""Scenarios: results of other runs (CACHE). The store keeps them, so each test has a module of its own name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coflux.logs import Level
from tests.engine.scratch import ScratchProject, attempts, eventually, kinds


def warnings(project: ScratchProject, run: str) -> list[str]:
    """What was logged as a warning, with its values."""
    entries = [entry for entry in project.logs(run) if entry.level == Level.WARNING]
    return [f"{entry.template} {json.loads(entry.values or b'null')}" for entry in entries]


def test_another_run_gets_the_result(shared: ScratchProject) -> None:
    """CACHE-S01, CACHE-S02: for equal arguments. A hit is a success for everybody who looks (behaviour 3)."""
    shared.write(
        "another",
        """
        @cf.task(cache=True)
        def load(x):
            mark("load")
            return {"x": x}

        @cf.workflow()
        def main(x):
            return load(x)
        """,
    )
    first = shared.document("another/main", "42")
    second = shared.document("another/main", "42")
    assert first["result"] == second["result"] == {"x": 42}
    assert (kinds(first, "load"), kinds(second, "load")) == ([["succeeded"]], [["cached"]])
    assert second["run"]["status"] == "succeeded"
    assert shared.run("another/main", "43").value == {"x": 43}
    assert len(shared.marks("load")) == 2
    # What is shown of the hit is what is shown of its source.
    step = attempts(second, "load")[0]["id"].rpartition(":")[0]
    assert json.loads(shared.coflux("runs", "result", step).out) == {"x": 42}


def test_keys_are_content(shared: ScratchProject) -> None:
    """Behaviour 5.1: type and value, by position and with defaults; order counts in lists, not in dicts or sets."""
    shared.write(
        "content",
        """
        @cf.task(cache=True)
        def load(x, y=0):
            return attempt("load")

        @cf.workflow()
        def main():
            alike = [
                [load(1), load(x=1), load(1, 0), load(y=0, x=1)],
                [load({"a": 1, "b": 2}), load({"b": 2, "a": 1})],
                [load({1, 2, 3}), load({3, 2, 1})],
            ]
            different = [load(True), load(1.0), load("1"), load(1, 1), load([1, 2]), load([2, 1]), load((1, 2))]
            return [[len(set(group)) for group in alike], len(set(different))]
        """,
    )
    assert shared.run("content/main").value == [[1, 1, 1], 7]
    assert len(shared.marks("load")) == 10


def test_every_caller_has_its_own_idea_of_old(shared: ScratchProject) -> None:
    """CACHE-S03, without a race: what is too old for one caller is fine for another, and a hit makes nothing young."""
    shared.write(
        "ages",
        """
        @cf.task(cache=60)
        def load():
            return attempt("load")

        @cf.workflow()
        def main():
            first = load()
            time.sleep(0.3)
            hit = load()
            old = load.with_cache(0.25)()
            return [first, hit, old, load()]
        """,
    )
    assert shared.run("ages/main").value == [1, 1, 2, 2]


def test_only_the_named_parameters_count(shared: ScratchProject) -> None:
    """CACHE-S04."""
    shared.write(
        "named",
        """
        @cf.task(cache=cf.Cache(params="id"))
        def load(id, url):
            mark("load")
            return url

        @cf.workflow()
        def main():
            return [load(1, "a"), load(1, "b"), load(2, "b")]
        """,
    )
    assert shared.run("named/main").value == ["a", "a", "b"]
    assert len(shared.marks("load")) == 2


def test_another_version_has_results_of_its_own(shared: ScratchProject) -> None:
    """CACHE-S05."""
    shared.write(
        "versions",
        """
        @cf.task(cache=True)
        def load():
            return attempt("load")

        @cf.workflow()
        def main():
            second = load.with_cache(cf.Cache(version="2"))
            return [load(), second(), load(), second()]
        """,
    )
    assert shared.run("versions/main").value == [1, 2, 1, 2]


def test_a_namespace_is_shared_by_targets(shared: ScratchProject) -> None:
    """CACHE-S06: parameters count by position, not by name (behaviour 5.1)."""
    shared.write(
        "spaces",
        """
        @cf.task(cache=cf.Cache(namespace="squares"))
        def slow(x):
            return ["slow", x * x]

        @cf.task(cache=cf.Cache(namespace="squares"))
        def quick(number):
            return ["quick", number * number]

        @cf.workflow()
        def main():
            return [slow(9), quick(9), quick(8)]
        """,
    )
    assert shared.run("spaces/main").value == [["slow", 81], ["slow", 81], ["quick", 64]]


def test_what_is_under_way_is_waited_for(shared: ScratchProject) -> None:
    """CACHE-S07: `cached` is recorded when the source has succeeded, until then the link is a reason to wait."""
    shared.write(
        "linked",
        """
        @cf.task(cache=True)
        def slow():
            mark("slow")
            gate("go")
            return "value"

        @cf.workflow()
        def main():
            handles = [slow.submit() for _ in range(3)]
            return [handle.result() for handle in handles]
        """,
    )
    process = shared.start("run", "--json", "linked/main")
    shared.marked("slow")
    run = shared.last_run()

    def steps() -> Any:
        found = [step["executions"][0] for step in shared.read(run)["steps"] if step["target"] == "linked/slow"]
        return len(found) == 3 and found

    source, second, third = eventually(steps)
    for linked in (second, third):
        assert linked["status"] == "queued"
        assert source["id"] in linked["reason"]
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == ["value"] * 3
    assert kinds(document, "slow") == [["succeeded"], ["cached"], ["cached"]]
    assert len(shared.marks("slow")) == 1


def test_a_source_that_fails_fails_what_is_linked_to_it(shared: ScratchProject) -> None:
    """CACHE-S08: whose own retries are executed (behaviour 5.2)."""
    shared.write(
        "failing",
        """
        @cf.task(cache=True)
        def slow():
            times = attempt("slow")
            gate("go")
            if times == 1:
                raise ValueError("no")
            return times

        def told(handle):
            try:
                return handle.result()
            except ValueError as error:
                return str(error)

        @cf.workflow()
        def main():
            handles = [slow.submit(), slow.submit(), slow.with_retries(1).submit()]
            return [*map(told, handles), slow()]
        """,
    )
    process = shared.start("run", "--json", "failing/main")
    shared.marked("slow")
    eventually(lambda: len(kinds(shared.read(shared.last_run()), "slow")) == 3)
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == ["no", "no", 2, 2]
    assert kinds(document, "slow") == [["failed"], ["failed"], ["failed", "succeeded"], ["cached"]]
    assert len(shared.marks("slow")) == 2


def test_failures_are_never_hits(shared: ScratchProject) -> None:
    """CACHE-S09."""
    shared.write(
        "failures",
        """
        @cf.task(cache=True)
        def flaky():
            if attempt("flaky") == 1:
                raise ValueError("no")
            return "ok"

        @cf.workflow()
        def main():
            try:
                flaky()
            except ValueError:
                return flaky()
        """,
    )
    document = shared.document("failures/main")
    assert document["result"] == "ok"
    assert kinds(document, "flaky") == [["failed"], ["succeeded"]]


def test_a_source_that_is_cancelled_is_replaced(shared: ScratchProject) -> None:
    """Behaviour 5.2: what is linked to it executes. Cancelling what is linked leaves the source alone (7.4)."""
    shared.write(
        "replaced",
        """
        @cf.task(cache=True)
        def slow():
            mark("slow")
            gate("go")
            return "value"

        @cf.workflow()
        def main():
            source, linked, other = slow.submit(), slow.submit(), slow.submit()
            gate("cancel")
            other.cancel()
            gate("source")
            source.cancel()
            return linked.result()
        """,
    )
    process = shared.start("run", "--json", "replaced/main")
    shared.marked("slow")
    run = shared.last_run()
    shared.open_gate("cancel")
    eventually(lambda: ["cancelled"] in kinds(shared.read(run), "slow"))
    assert kinds(shared.read(run), "slow") == [["running"], ["queued"], ["cancelled"]]
    shared.open_gate("source")
    shared.marked("slow", 2)
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == "value"
    assert kinds(document, "slow") == [["cancelled"], ["succeeded"], ["cancelled"]]


def test_a_rerun_ignores_the_cache_and_is_the_newest_source(shared: ScratchProject) -> None:
    """CACHE-S10."""
    shared.write(
        "drawing",
        """
        @cf.task(cache=True)
        def draw():
            return attempt("draw")

        @cf.workflow()
        def main():
            return draw()
        """,
    )
    document = shared.document("drawing/main")
    assert document["result"] == 1
    step = attempts(document, "draw")[0]["id"].rpartition(":")[0]
    rerun = shared.coflux("runs", "rerun", step)
    assert rerun.status == 0, rerun.err
    eventually(lambda: kinds(shared.read(document["run"]["id"]), "draw") == [["succeeded", "succeeded"]])
    document = shared.document("drawing/main")
    assert document["result"] == 2
    assert kinds(document, "draw") == [["cached"]]


def test_the_root_of_a_run_can_be_a_hit(shared: ScratchProject) -> None:
    """CACHE-S11: also of a run that called the workflow, which asks the cache before it makes a run."""
    shared.write(
        "roots",
        """
        @cf.workflow(cache=True)
        def load(x: dict):
            mark("load")
            return x

        @cf.workflow()
        def main(x: dict):
            return load(x)
        """,
    )
    for status in ("succeeded", "cached"):
        document = shared.document("roots/load", '{"x": [1]}')
        assert document["result"] == {"x": [1]}
        assert kinds(document, "load") == [[status]]
        assert document["run"]["status"] == "succeeded"
    document = shared.document("roots/main", '{"x": [1]}')
    assert (document["result"], kinds(document, "load")) == ({"x": [1]}, [["cached"]])
    assert len(shared.marks("load")) == 1


def test_a_copy_with_a_cache_leaves_the_target_without(shared: ScratchProject) -> None:
    """DEF-S07."""
    shared.write(
        "copies",
        """
        @cf.task()
        def load(x):
            mark(f"load {x}")
            return x

        cached = load.with_cache(60)

        @cf.workflow()
        def main():
            return [load(1), load(1), cached(2), cached(2), cached.with_cache(False)(2)]
        """,
    )
    assert shared.run("copies/main").value == [1, 1, 2, 2, 2]
    assert len(shared.marks("load 1")) == 2
    assert len(shared.marks("load 2")) == 2


@pytest.mark.parametrize("damage", ["deleted", "truncated"])
def test_a_blob_that_is_gone_is_a_miss(shared: ScratchProject, damage: str) -> None:
    """Behaviour 5.2: with a warning."""
    shared.write(
        f"blobs_{damage}",
        """
        @cf.task(cache=True)
        def load():
            mark("load")
            return os.urandom(100_000)

        @cf.workflow()
        def main():
            return len(load())
        """,
    )
    blobs = shared.root / ".coflux" / "blobs"
    before = {path for path in blobs.rglob("*") if path.is_file()}
    assert shared.run(f"blobs_{damage}/main").value == 100_000
    [blob] = {path for path in blobs.rglob("*") if path.is_file()} - before
    if damage == "deleted":
        blob.unlink()
    else:
        blob.chmod(0o600)
        blob.write_bytes(blob.read_bytes()[:1000])
    again = shared.coflux("run", "--json", f"blobs_{damage}/main")
    assert again.value["result"] == 100_000
    assert kinds(again.value, "load") == [["succeeded"]]
    assert len(shared.marks("load")) == 2
    assert again.err.count("is not taken from the cache") == 1
    assert blob.name[:8] in again.err


def test_an_argument_without_a_key_means_no_cache(shared: ScratchProject) -> None:
    """Behaviour 5.1: one warning, which says what it is and where."""
    shared.write(
        "unkeyable",
        """
        class Generator:
            def __init__(self):
                self.items = [1, lambda: 2]

        @cf.task(cache=True)
        def load(source):
            mark("load")
            return 1

        @cf.workflow()
        def main():
            source = Generator()
            return [load(source) for _ in range(3)]
        """,
    )
    document = shared.document("unkeyable/main")
    assert document["result"] == [1, 1, 1]
    assert kinds(document, "load") == [["succeeded"]] * 3
    [warning] = warnings(shared, document["run"]["id"])
    assert "source" in warning
    assert "unkeyable/load" in warning


def test_a_hit_that_would_close_a_cycle_is_executed(shared: ScratchProject) -> None:
    """Behaviour 2.6: f waits for g, which calls f again: that one cannot wait for the first."""
    shared.write(
        "cycles",
        """
        @cf.task(cache=True)
        def f():
            return ["inner"] if attempt("f") == 2 else ["outer", *g()]

        @cf.task()
        def g():
            return f()

        @cf.workflow()
        def main():
            return f()
        """,
    )
    document = shared.document("cycles/main")
    assert document["result"] == ["outer", "inner"]
    assert kinds(document, "f") == [["succeeded"], ["succeeded"]]


def test_a_link_that_comes_to_close_a_cycle_is_cut(shared: ScratchProject) -> None:
    """Behaviour 2.6: the link is there first, then its source comes to wait for what is linked to it."""
    shared.write(
        "cut",
        """
        @cf.task(cache=cf.Cache(params="key"))
        def f(key, inner):
            mark("f")
            if inner:
                return ["inner"]
            gate("go")
            return ["outer", *g(key)]

        @cf.task(memo=True)
        def g(key):
            mark("g")
            return f(key, True)

        @cf.workflow()
        def main():
            first = f.submit(1, False)
            while not os.path.exists(os.environ["COFLUX_TEST_MARKS"]):
                time.sleep(0.01)
            g.submit(1)
            return first.result()
        """,
    )
    process = shared.start("run", "--json", "cut/main")
    shared.marked("g")
    eventually(lambda: len(kinds(shared.read(shared.last_run()), "f")) == 2)
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == ["outer", "inner"]
    assert len(shared.marks("f")) == 2


def test_results_outlive_the_engine(project: ScratchProject) -> None:
    """PERSIST-S02."""
    project.write(
        "flow",
        """
        @cf.task(cache=True)
        def load():
            mark("load")
            return b"x" * 100_000

        @cf.workflow()
        def main():
            return len(load())
        """,
    )
    assert project.run("flow/main").value == 100_000
    eventually(lambda: not project.processes())
    document = project.document("flow/main")
    assert document["result"] == 100_000
    assert kinds(document, "load") == [["cached"]]
    assert len(project.marks("load")) == 1
