"""Scenarios: steps that wait for their arguments (WAIT, DEF-S03)."""

from __future__ import annotations

from typing import Any

from tests.engine.scratch import ScratchProject, attempts, eventually

GATED = """
    @cf.task()
    def gated(name):
        mark(f"start {name}")
        gate(name)
        mark(f"end {name}")
        return name
"""


def texts(project: ScratchProject) -> list[str]:
    return [mark.text for mark in project.marks()]


def queued_for(project: ScratchProject, run: str, target: str) -> str:
    """Why the only step of `target` has not started."""

    def execution() -> Any:
        document = project.read(run)
        steps = [step for step in document["steps"] if step["target"].rpartition("/")[2] == target]
        return steps and attempts(document, target)[0]

    found = eventually(execution)
    assert found["status"] == "queued"
    reason: str = found["reason"]
    return reason


def test_a_step_starts_when_its_arguments_have_ended(shared: ScratchProject) -> None:
    """WAIT-S01: after the last of them, whichever that is. Until then it says what it waits for (behaviour 3)."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.task(wait=True)
    def consumer(first, second):
        mark("consumer")
        return [first.result(), second.result()]

    @cf.workflow()
    def main():
        return consumer(gated.submit("a"), gated.submit("b"))
    """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    shared.marked("start a")
    shared.marked("start b")
    run = shared.last_run()
    assert "waiting for arguments" in queued_for(shared, run, "consumer")
    shared.open_gate("b")
    shared.marked("end b")
    assert "waiting for arguments" in queued_for(shared, run, "consumer")
    shared.open_gate("a")
    assert shared.finish(process).value == ["a", "b"]
    assert texts(shared)[-3:] == ["end b", "end a", "consumer"]


def test_other_arguments_are_not_waited_for(shared: ScratchProject) -> None:
    """WAIT-S02: and their results can be read inside."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.task(wait="second")
    def consumer(first, second):
        mark("consumer")
        return [first.result(), second.result()]

    @cf.workflow()
    def main():
        return consumer(gated.submit("a"), gated.submit("b"))
    """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    shared.marked("start a")
    shared.marked("start b")
    shared.open_gate("b")
    shared.marked("consumer")
    assert "end a" not in texts(shared)
    shared.open_gate("a")
    assert shared.finish(process).value == ["a", "b"]
    assert texts(shared)[-3:] == ["end b", "consumer", "end a"]


def test_three_forms_of_the_parameter_names(shared: ScratchProject) -> None:
    """DEF-S03: text, list and set."""
    shared.write(
        "flow",
        GATED
        + """
    def consume(a, b, c):
        mark("consumer")
        return c.result()

    consumers = [
        cf.task(name=f"consumer{number}", wait=names)(consume)
        for number, names in enumerate(["a, b", ["a", "b"], {"a", "b"}])
    ]
    text, listed, unordered = consumers

    @cf.workflow()
    def main():
        handles = [gated.submit(name) for name in "abc"]
        return [handle.result() for handle in [consumer.submit(*handles) for consumer in consumers]]
    """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    for name in "abc":
        shared.marked(f"start {name}")
    shared.open_gate("a")
    shared.marked("end a")
    shared.open_gate("b")
    shared.marked("consumer", 3)
    shared.open_gate("c")
    assert shared.finish(process).value == ["c", "c", "c"]
    assert texts(shared)[3:] == ["end a", "end b", "consumer", "consumer", "consumer", "end c"]


def test_a_failed_argument_is_met_inside(shared: ScratchProject) -> None:
    """WAIT-S03: the step starts all the same; also after the retries of what failed (behaviour 4)."""
    shared.write(
        "flow",
        """
        @cf.task(retries=1)
        def failing():
            mark("failing")
            raise ValueError("no")

        @cf.task(wait=True)
        def consumer(handle):
            mark("consumer")
            try:
                handle.result()
            except cf.ExecutionError as error:
                return [isinstance(error, ValueError), str(error)]

        @cf.workflow()
        def main():
            return consumer(failing.submit())
        """,
    )
    assert shared.run("flow/main").value == [True, "no"]
    assert texts(shared) == ["failing", "failing", "consumer"]


def test_handles_are_found_at_any_depth(shared: ScratchProject) -> None:
    """WAIT-S04: in containers; also in objects that are pickled (behaviour 2.2)."""
    shared.write(
        "flow",
        GATED
        + """
    from dataclasses import dataclass

    class Order:
        def __init__(self, item):
            self.item = item

    @dataclass
    class Basket:
        orders: list

    @cf.task(wait=True)
    def consumer(nested):
        mark("consumer")
        return "done"

    @cf.workflow()
    def main():
        a, b, c, d = [gated.submit(name) for name in "abcd"]
        return consumer({"x": [a, b], "y": (c,), "z": Basket([Order(d)])})
    """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    for name in "abcd":
        shared.marked(f"start {name}")
    for name in "dcba":
        assert "waiting for arguments" in queued_for(shared, shared.last_run(), "consumer")
        shared.open_gate(name)
        shared.marked(f"end {name}")
    assert shared.finish(process).value == "done"
    assert texts(shared)[-1] == "consumer"


def test_handles_in_results_are_waited_for_as_well(shared: ScratchProject) -> None:
    """WAIT-S05."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.task()
    def producer():
        return {"inner": gated.submit("inner")}

    @cf.task(wait=True)
    def consumer(handle):
        mark("consumer")
        return handle.result()["inner"].poll(default="not ready")

    @cf.workflow()
    def main():
        handle = producer.submit()
        handle.result()
        return consumer(handle)
    """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    shared.marked("start inner")
    assert "waiting for arguments" in queued_for(shared, shared.last_run(), "consumer")
    shared.open_gate("inner")
    assert shared.finish(process).value == "inner"
    assert texts(shared) == ["start inner", "end inner", "consumer"]


def test_delay_and_arguments_must_both_have_passed(shared: ScratchProject) -> None:
    """Behaviour 4: the delay counts from the submission, whatever the arguments do meanwhile."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.task(wait=True, delay=0.5)
    def delayed(handle):
        mark("delayed")
        return handle.result()

    @cf.task(wait=True, delay=0.05)
    def held(handle):
        mark("held")
        return handle.result()

    @cf.workflow()
    def main():
        mark("submitted")
        handles = [delayed.submit(gated.submit("a")), held.submit(gated.submit("b"))]
        return [handle.result() for handle in handles]
    """,
    )
    shared.open_gate("a")
    process = shared.start("run", "--no-ui", "flow/main")
    [delayed] = shared.marked("delayed")
    [submitted] = shared.marks("submitted")
    assert delayed.at - submitted.at >= 0.48
    assert shared.marks("held") == []
    shared.open_gate("b")
    assert shared.finish(process).value == ["a", "b"]


def test_the_cache_is_asked_before_the_arguments(shared: ScratchProject) -> None:
    """Behaviour 4: a result that is there already waits for nothing."""
    shared.write(
        "asked",
        GATED
        + """
    @cf.task(wait="handle", cache=cf.Cache(params="key"))
    def consumer(key, handle):
        mark("consumer")
        return handle.result()

    @cf.workflow()
    def main():
        return [consumer("key", gated.submit("a")), consumer("key", gated.submit("b"))]
    """,
    )
    shared.open_gate("a")
    process = shared.start("run", "--no-ui", "--no-wait-children", "asked/main")
    assert shared.finish(process).value == ["a", "a"]
    assert "end b" not in texts(shared)
    shared.open_gate("b")
    shared.settled(shared.last_run())


def test_layers_of_steps_that_wait_for_all_of_the_layer_before(shared: ScratchProject) -> None:
    """Behaviour 2.6: that none of their waits closes a cycle is seen at once, whatever is queued already."""
    shared.write(
        "layers",
        GATED
        + """
    @cf.task(wait="before")
    def unit(before, number):
        return number

    @cf.workflow()
    def main():
        layer = [gated.submit("input")]
        for _ in range(8):
            layer = [unit.submit(layer, number) for number in range(50)]
        mark("submitted")
        return sum(handle.result() for handle in layer)
    """,
    )
    process = shared.start("run", "--no-ui", "layers/main")
    shared.marked("submitted")
    run = shared.last_run()
    eventually(lambda: len(shared.read(run)["steps"]) == 402)
    shared.open_gate("input")
    assert shared.finish(process).value == sum(range(50))
