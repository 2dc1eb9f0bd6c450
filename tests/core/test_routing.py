"""Which worker groups may run a step: what fits, what goes first, and why nothing does."""

from __future__ import annotations

from typing import Any

import pytest

from coflux.executor.core.routing import Router, interpreter_for, matches, requirements, why_unroutable
from coflux.executor.core.state import Execution, Pool, Requirements, Run, Step
from coflux.executor.messages import RunOptions
from coflux.worker_groups import WorkerGroup
from tests.core.factories import spec


def group(name: str = "group", **options: object) -> WorkerGroup:
    """Tags are given as `{"gpu": "A100 H100"}`, or `True`."""
    for key in ("provides", "accepts"):
        tags = options.pop(key, {})
        assert isinstance(tags, dict)
        options[key] = {tag: value if value is True else frozenset(value.split()) for tag, value in tags.items()}
    return WorkerGroup(name, **options)  # type: ignore[arg-type]


A100 = group("gpu", provides={"gpu": "A100 H100"})
PLAIN = group("default")


@pytest.mark.parametrize(
    ("requires", "provides", "fits"),
    [
        ({}, {}, True),
        ({}, {"gpu": "A100"}, True),
        ({"gpu": ["A100"]}, {}, False),
        ({"gpu": ["A100"]}, {"gpu": "A100"}, True),
        ({"gpu": ["a100"]}, {"gpu": "A100"}, False),
        ({"gpu": ["A100", "H100"]}, {"gpu": "H100 T4"}, True),
        ({"gpu": ["A100"]}, {"gpu": "H100 T4"}, False),
        ({"gpu": ["A100"], "disk": ["ssd"]}, {"gpu": "A100"}, False),
        ({"gpu": ["A100"], "disk": ["ssd"]}, {"gpu": "A100", "disk": "ssd"}, True),
        ({"gpu": True}, {"gpu": "A100"}, True),
        ({"gpu": True}, {"gpu": True}, True),
        ({"gpu": True}, {"disk": "ssd"}, False),
        ({"gpu": False}, {}, True),
        ({"gpu": False}, {"gpu": "A100"}, False),
        ({"gpu": False}, {"gpu": True}, False),
        ({"gpu": ["A100"]}, {"gpu": True}, False),
        ({"gpu": ["true"]}, {"gpu": True}, True),
    ],
)
def test_every_required_tag_has_to_be_provided(requires: Requirements, provides: dict[str, object], fits: bool) -> None:
    assert matches(group(provides=provides), requires) is fits


@pytest.mark.parametrize(
    ("requires", "accepts", "fits"),
    [
        ({}, {"priority": "high"}, False),
        ({"gpu": ["A100"]}, {"priority": "high"}, False),
        ({"priority": ["high"]}, {"priority": "high"}, True),
        ({"priority": ["low"]}, {"priority": "high"}, False),
        ({"priority": ["low", "high"]}, {"priority": "high"}, True),
        ({"priority": True}, {"priority": "high"}, True),
        ({"priority": False}, {"priority": "high"}, False),
        ({"priority": ["low"]}, {"priority": True}, True),
        ({}, {"priority": True}, False),
        ({"priority": ["high"]}, {"priority": "high", "team": "a"}, False),
        ({"priority": ["high"], "team": ["a"]}, {"priority": "high", "team": "a b"}, True),
    ],
)
def test_each_accepted_tag_has_to_be_required(requires: Requirements, accepts: dict[str, object], fits: bool) -> None:
    assert matches(group(accepts=accepts), requires) is fits


def test_what_is_accepted_does_not_widen_what_is_said_to_be_provided() -> None:
    both = group(provides={"gpu": "A100"}, accepts={"gpu": True})
    assert matches(both, {"gpu": ["A100"]})
    assert not matches(both, {"gpu": ["H100"]})


# -- what is required ------------------------------------------------------------------------------------------------


def child_of(run: Run, **options: Any) -> Step:
    return Step(run, 2, run.root, None, spec(**options), b"", (), 1, 0.0)


def run_of(
    requires: Requirements | None = None,
    *,
    kind: str = "workflow",
    parent: Execution | None = None,
    override: Requirements | None = None,
) -> Run:
    options = RunOptions(requires=override)
    run = Run("R1", None if parent is None else parent.step.run.family, parent, options, 0.0)
    step = Step(run, 1, None, None, spec(type=kind, requires=requires or {}), b"", (), 0, 0.0)
    run.root = Execution(step, 1, None, 1, 0.0)
    return run


GPU: Requirements = {"gpu": ["A100"]}
SSD: Requirements = {"disk": ["ssd"]}


@pytest.mark.parametrize(
    ("default", "own", "expected"),
    [
        ({}, {}, {}),
        (GPU, {}, GPU),
        ({}, GPU, GPU),
        (GPU, SSD, GPU | SSD),
        (GPU, {"gpu": ["H100"]}, {"gpu": ["H100"]}),
        (GPU, {"gpu": False}, {"gpu": False}),
        (GPU | SSD, {"gpu": []}, SSD),
        ({"gpu": []}, {}, {}),
        ({}, {"gpu": []}, {}),
    ],
)
def test_a_workflows_requirements_are_its_runs_default(
    default: Requirements, own: Requirements, expected: Requirements
) -> None:
    assert requirements(child_of(run_of(default), requires=own)) == expected


def test_those_of_a_task_are_its_own() -> None:
    run = run_of(GPU, kind="task")
    assert run.root is not None
    assert requirements(run.root.step) == GPU
    assert requirements(child_of(run)) == {}


@pytest.mark.parametrize("kind", ["workflow", "task"])
def test_those_of_the_command_line_replace_them(kind: str) -> None:
    run = run_of(GPU, kind=kind, override=SSD)
    assert run.root is not None
    assert requirements(run.root.step) == SSD
    assert requirements(child_of(run)) == SSD
    assert requirements(child_of(run_of(GPU, kind=kind, override={}))) == {}


def test_a_child_run_inherits_those_of_its_step() -> None:
    step = child_of(run_of(GPU | SSD), type="workflow", requires={"disk": []})
    inner = run_of({}, parent=Execution(step, 1, None, 2, 0.0))
    assert inner.root is not None
    assert requirements(inner.root.step) == GPU
    assert requirements(child_of(inner, requires={"net": True})) == GPU | {"net": True}


def test_runs_nested_a_thousand_deep() -> None:
    run = run_of(GPU)
    for _ in range(1000):
        run = run_of({}, parent=Execution(child_of(run, type="workflow"), 1, None, 2, 0.0))
    assert requirements(child_of(run)) == GPU


# -- where it goes ---------------------------------------------------------------------------------------------------


def routed(
    groups: list[WorkerGroup], module: str = "shop", requires: Requirements | None = None, home: str = ""
) -> str:
    """The names of the groups that may take the step."""
    route = Router(tuple(Pool(group) for group in groups)).route(module, requires or {}, home)
    return "" if route is None else " ".join(pool.group.name for pool in route.pools)


def test_whatever_fits_may_take_it() -> None:
    assert routed([PLAIN]) == "default"
    assert routed([PLAIN, A100]) == "default gpu"
    assert routed([PLAIN, A100], requires=GPU) == "gpu"
    assert routed([PLAIN, A100], requires={"gpu": False}) == "default"
    assert routed([PLAIN], requires=GPU) == ""


def test_groups_that_list_the_module_go_before_the_others() -> None:
    ml = group("ml", modules=("ml",), python="/ml")
    assert routed([PLAIN, ml], "ml") == "ml"
    assert routed([PLAIN, ml], "ml.train") == "ml"
    assert routed([PLAIN, ml], "mlx") == "default"
    assert routed([PLAIN, ml], "ml", {"gpu": False}) == "ml"
    assert routed([PLAIN, ml, A100], "ml", GPU) == "gpu", "it is not for what requires that"
    assert routed([group("default", modules=("shop",)), ml], "other") == ""


def test_the_interpreter_is_chosen_first() -> None:
    """What the run was found in, then that of the default group, then the first in the file."""
    one, two = group("one", python="/one"), group("two", python="/two")
    assert routed([PLAIN, one, two]) == "default"
    assert routed([PLAIN, one, two], home="/two") == "two"
    assert routed([PLAIN, one, two, A100], home="/three") == "default gpu"
    gpu_one = group("one", python="/one", provides={"gpu": "A100"})
    gpu_two = group("two", python="/two", provides={"gpu": "A100"})
    assert routed([PLAIN, gpu_one, gpu_two], requires=GPU) == "one"
    assert routed([PLAIN, gpu_one, gpu_two], requires=GPU, home="/two") == "two"


def test_a_route_is_found_once() -> None:
    router = Router((Pool(PLAIN), Pool(A100)))
    route = router.route("shop", {}, "")
    assert route is router.route("shop", {}, "")
    assert route is not router.route("shop", GPU, "")


@pytest.mark.parametrize(
    ("module", "home", "expected"),
    [("shop", None, ""), ("ml", None, "/ml"), ("ml.train", "", "/ml"), ("shop", "/ml", ""), ("shop", "/gpu", "/gpu")],
)
def test_where_a_module_is_imported_to_see_what_is_in_it(module: str, home: str | None, expected: str) -> None:
    groups = [PLAIN, group("ml", modules=("ml",), python="/ml"), group("gpu", python="/gpu")]
    assert interpreter_for(groups, module, home) == expected


# -- why nowhere -----------------------------------------------------------------------------------------------------

ML = group("ml", modules=("ml",))
FAST = group("fast", provides={"disk": "ssd"})
A_OR_H: Requirements = {"gpu": ["A100", "H100"]}
NO_GPU: Requirements = {"gpu": False}
ONLY_OTHERS = "the worker groups that could run it take only other steps"
PICKY = group("picky", provides={"gpu": "T4"}, accepts={"priority": "high"})


@pytest.mark.parametrize(
    ("groups", "module", "requires", "reason"),
    [
        ([PLAIN], "shop", GPU, "no worker group provides gpu=A100 (groups: default)"),
        ([PLAIN, FAST], "shop", A_OR_H, "no worker group provides gpu=A100|H100 (groups: default, fast)"),
        ([PLAIN, FAST], "shop", GPU | SSD, "no worker group provides gpu=A100 (groups: default, fast)"),
        (
            [FAST, A100],
            "shop",
            GPU | SSD,
            "no worker group provides gpu=A100 and disk=ssd together (groups: fast, gpu)",
        ),
        ([PLAIN], "shop", {"gpu": True}, "no worker group provides gpu (groups: default)"),
        ([A100], "shop", {"gpu": False}, "no worker group is without gpu (groups: gpu)"),
        ([A100], "shop", NO_GPU | SSD, "no worker group provides disk=ssd and is without gpu (groups: gpu)"),
        ([ML], "shop", {}, "no worker group hosts module shop (groups: ml)"),
        (
            [ML, FAST],
            "shop",
            GPU,
            "no worker group, of those that host module shop, provides gpu=A100 (groups: ml, fast)",
        ),
        ([PICKY], "shop", {"gpu": True}, f"{ONLY_OTHERS}: picky (gpu=T4; accepts priority=high)"),
    ],
)
def test_why_no_group_fits(groups: list[WorkerGroup], module: str, requires: Requirements, reason: str) -> None:
    assert routed(groups, module, requires) == ""
    assert why_unroutable(groups, module, requires) == reason
