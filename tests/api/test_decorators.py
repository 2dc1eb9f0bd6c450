"""What can be decorated, and what comes of it."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import coflux as cf
from coflux.target import duplicates, registry
from tests.naming import named


def total(a: int, b: int = 2) -> int:
    """Add."""
    return a + b


PLACE = f"{__file__}:{total.__code__.co_firstlineno}"


@pytest.mark.parametrize("decorate", [cf.task, cf.task(), cf.task("total"), cf.task(name=None)])
def test_bare_called_and_named(decorate: Any) -> None:
    target = decorate(total)
    assert (target.module, target.name, target.type) == (__name__, "total", "task")
    assert target.fn is total
    assert target.parameters == ("a", "b")
    assert registry[__name__, "total"] is target


def test_bare_workflow() -> None:
    assert cf.workflow(total).type == "workflow"


def test_first_argument_is_the_name() -> None:
    target = cf.workflow("sum")(total)
    assert target.name == "sum"
    assert registry[__name__, "sum"] is target


def test_options_by_position_as_in_the_reference() -> None:
    options = cf.task("total", True, 60, 3)(total).options
    assert (options.wait, options.retries) == (("a", "b"), cf.task(retries=3)(total).options.retries)
    assert options.cache is not None
    assert options.cache.max_age == 60


def test_metadata_is_kept() -> None:
    target = cf.task()(total)
    assert (target.__name__, target.__doc__) == ("total", "Add.")  # type: ignore[attr-defined]
    assert inspect.signature(target) == inspect.signature(total) == target.signature
    assert typing.get_type_hints(target) == {"a": int, "b": int, "return": int}
    assert repr(target) == f"<task {__name__}/total>"


def test_attributes_of_the_function_do_not_hide_those_of_the_target() -> None:
    def tagged() -> None: ...

    tagged.name = "other"  # type: ignore[attr-defined]
    tagged.tag = "kept"  # type: ignore[attr-defined]
    target = cf.task()(tagged)
    assert target.name == "tagged"
    assert target.tag == "kept"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["a/b", "two\nlines", " blank"])
def test_names_that_no_command_could_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"task .*: name must not have") as caught:
        cf.task(name)(total)
    assert repr(name) in str(caught.value)
    assert PLACE in str(caught.value)


def test_an_empty_name() -> None:
    for decorate in (cf.task(""), cf.workflow(name=""), cf.stub("other", name="")):
        with pytest.raises(ValueError, match=r"(task|workflow|stub) 'total' .*: name must not be empty") as caught:
            decorate(total)
        assert PLACE in str(caught.value)


def generate() -> Iterator[int]:
    yield 1


async def generate_async() -> AsyncIterator[int]:
    yield 1


class Thing:
    def __call__(self) -> None: ...

    def method(self) -> None: ...

    @classmethod
    def make(cls) -> None: ...


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (generate, rf"task 'generate' \({__file__}:\d+\) is a generator function: return a list"),
        (generate_async, rf"task 'generate_async' \({__file__}:\d+\) is a generator function"),
        (Thing, r"not the class .*Thing"),
        (Thing(), r"of type Thing\): wrap it in a function"),
        (Thing().method, r"of type method\): wrap it in a function"),
        (staticmethod(total), r"not the staticmethod total"),
        (vars(Thing)["make"], r"not the classmethod Thing.make"),
        (functools.partial(total, 1), r"of type partial\): wrap it"),
        (len, r"built-in function len"),
        (5, r"not 5 \(of type int\)$"),
        (cf.task()(total), r"not <task .*total>, which is a target already"),
    ],
    ids=named,
)
def test_only_plain_functions(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        cf.task()(value)
    with pytest.raises(TypeError, match=message):
        cf.task(value)


def test_wrapped_function_keeps_the_parameters_of_the_inner_one() -> None:
    @functools.wraps(total)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return -total(*args, **kwargs)

    target = cf.task(wait="b")(wrapper)
    assert target.parameters == ("a", "b")
    assert target.options.wait == ("b",)
    assert target(1) == -3


class Holder:
    @cf.task()
    def double(x: int) -> int:  # noqa: N805
        return 2 * x


def test_a_target_is_no_method() -> None:
    assert Holder().double(4) == 8
    assert registry[__name__, "double"] is Holder.double


# -- stubs ------------------------------------------------------------------------------------------------------------


def test_stub() -> None:
    target = cf.stub("other.flows", name="sum", type="workflow", retries=1, memo=["a"])(total)
    assert (target.module, target.name, target.type) == ("other.flows", "sum", "workflow")
    assert target.is_stub
    assert not target.by_value
    assert target.options.memo == ("a",)
    assert target(1, 1) == 2
    assert repr(target) == "<stub of workflow other.flows/sum>"


def test_stubs_are_not_registered() -> None:
    before = dict(registry)
    cf.stub("other.flows")(total)
    assert registry == before


def test_bare_stub() -> None:
    with pytest.raises(TypeError, match=r'@stub\("package\.module"\)'):
        cf.stub(total)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"module": ""}, TypeError),
        ({"module": "a..b"}, TypeError),
        ({"module": "flows/load.py"}, TypeError),
        ({"module": "flows", "type": "job"}, ValueError),
        ({"module": "flows", "name": 5}, TypeError),
    ],
)
def test_wrong_stub(given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="stub"):
        cf.stub(**given)


def test_wrong_option_of_a_stub() -> None:
    with pytest.raises(ValueError, match=r"stub 'total' \(.*\): delay must not be negative"):
        cf.stub("flows", delay=-1)(total)


@pytest.mark.parametrize("option", ["requires", "timeout"])
def test_stubs_have_no_requirements_or_timeout(option: str) -> None:
    with pytest.raises(TypeError, match=option):
        cf.stub("flows", **{option: None})  # type: ignore[arg-type]


# -- the registry -----------------------------------------------------------------------------------------------------


def module_from(source: str, name: str, file: str = "flows.py") -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": name, "cf": cf}
    exec(compile(source, file, "exec"), namespace)
    return namespace


def test_two_functions_of_one_name_are_kept_as_duplicates() -> None:
    module_from("@cf.task()\ndef load(): ...\n@cf.task('load')\ndef load_again(): ...", "twice")
    [(first, second)] = [pair for pair in duplicates if pair[0].module == "twice"]
    assert (first.fn.__name__, second.fn.__name__) == ("load", "load_again")
    assert registry["twice", "load"] is second


def test_the_same_place_again_replaces() -> None:
    source = "@cf.task()\ndef load(): ..."
    module_from(source, "again")
    namespace = module_from(source, "again")
    assert registry["again", "load"] is namespace["load"]
    assert duplicates == []


def test_a_local_target_does_not_hide_the_module_s_own() -> None:
    source = "@cf.task()\ndef load(): ...\ndef make():\n    @cf.task()\n    def load(): ...\n    return load"
    namespace = module_from(source, "local")
    made = namespace["make"]()
    assert made.by_value
    assert registry["local", "load"] is namespace["load"]
    assert duplicates == []


def test_a_notebook_cell_run_again_replaces() -> None:
    source = "@cf.task()\ndef load(): ..."
    module_from(source, "__main__", "cell-1")
    namespace = module_from(source, "__main__", "cell-2")
    assert registry["__main__", "load"] is namespace["load"]
    assert duplicates == []


# -- changed copies ---------------------------------------------------------------------------------------------------


def test_copies_change_one_option_each_and_leave_the_original_alone() -> None:
    original = cf.task(cache=True, retries=3, defer=True, memo=True, delay=5, timeout=5, requires={"gpu": True})(total)
    before = original.options
    off = (
        original.with_cache(False)
        .with_retries(0)
        .with_defer(False)
        .with_memo(False)
        .with_delay(0)
        .with_timeout(0)
        .with_requires(None)
    )
    assert off.options == cf.task(memo=False)(total).options
    assert original.options == before
    assert off.overrides == {"cache", "retries", "defer", "memo", "delay", "timeout", "requires"}
    assert original.overrides == frozenset()
    assert off(2) == 4


def test_copies_are_not_registered() -> None:
    original = cf.task()(total)
    original.with_retries(3)
    assert registry[__name__, "total"] is original


def test_copies_are_checked_like_declarations() -> None:
    target = cf.task()(total)
    with pytest.raises(ValueError, match=rf"task 'total' \({PLACE}\): timeout must not be negative, but is -1"):
        target.with_timeout(-1)
    with pytest.raises(ValueError, match=r"cache\.params names 'nope'"):
        target.with_cache(cf.Cache(params="nope"))


def test_with_memo_on_a_workflow_is_about_its_step_and_takes_names() -> None:
    assert cf.workflow()(total).with_memo(["a"]).options.memo == ("a",)


def test_submitted_when_travels_only_where_the_declared_target_has_another() -> None:
    target = cf.task(retries=cf.Retries(3, when=OSError))(total)
    assert target.submitted_when is None
    assert target.with_delay(1).submitted_when is None
    narrowed = target.with_retries(cf.Retries(3, when=KeyError)).submitted_when
    assert narrowed is not None
    assert (narrowed(KeyError()), narrowed(OSError())) == (True, False)
    widened = target.with_retries(3).submitted_when
    assert widened is not None
    assert widened(ValueError())
    stubbed = cf.stub("flows", retries=3)(total).submitted_when
    assert stubbed is not None
    assert stubbed(ValueError())
