"""Arguments are bound as a call of the plain function would bind them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import coflux as cf
from coflux.target import Target

NAMES = ["a", "b", "c", "d", "e", "self", "args_", "return_"]


@st.composite
def functions(draw: st.DrawFn) -> Any:
    """A function with any legal parameters that returns one value a parameter."""
    names = draw(st.permutations(NAMES))
    counts = [draw(st.integers(0, 2)) for _ in range(3)]
    positional_only, ordinary, keyword_only = (
        names[: counts[0]],
        names[counts[0] : sum(counts[:2])],
        names[sum(counts[:2]) : sum(counts)],
    )
    defaults = draw(st.integers(0, counts[0] + counts[1]))
    positional = [
        f"{name}=['{name}']" if index >= counts[0] + counts[1] - defaults else name
        for index, name in enumerate(positional_only + ordinary)
    ]
    source = positional[: counts[0]] + (["/"] if positional_only else []) + positional[counts[0] :]
    rest = "rest" if draw(st.booleans()) else ""
    if rest or keyword_only:
        source.append(f"*{rest}")
    source += [f"{name}={name!r}" if draw(st.booleans()) else name for name in keyword_only]
    extra = "extra" if draw(st.booleans()) else ""
    if extra:
        source.append(f"**{extra}")
    values = [*positional_only, *ordinary, *([rest] if rest else []), *keyword_only, *([extra] if extra else [])]
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(f"def f({', '.join(source)}): return ({''.join(value + ', ' for value in values)})", namespace)
    return namespace["f"]


def outcome(call: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return call(*args, **kwargs)
    except TypeError as error:
        return str(error)


@given(
    function=functions(),
    args=st.lists(st.integers(), max_size=5),
    kwargs=st.dictionaries(st.sampled_from([*NAMES, "other"]), st.integers(), max_size=5),
)
def test_bind_is_the_plain_call_and_call_arguments_its_reverse(
    function: Any, args: list[int], kwargs: dict[str, int]
) -> None:
    target = cf.task()(function)
    bound = outcome(target.bind, args, kwargs)
    assert bound == outcome(function, *args, **kwargs)
    if isinstance(bound, tuple):
        again, named = target.call_arguments(bound)
        assert function(*again, **named) == bound


def everything(a, /, b, c=3, *rest, d, e="e", **extra):  # type: ignore[no-untyped-def]
    return a, b, c, rest, d, e, extra


def test_one_value_a_parameter() -> None:
    target = cf.task()(everything)
    assert target.parameters == ("a", "b", "c", "rest", "d", "e", "extra")
    assert target.bind((1, 2, 3, 4, 5), {"d": 6, "a": 7}) == (1, 2, 3, (4, 5), 6, "e", {"a": 7})
    assert target.call_arguments((1, 2, 3, (4,), 6, "e", {"a": 7})) == ((1, 2, 3, 4), {"d": 6, "e": "e", "a": 7})


def test_leaving_a_default_out_is_giving_it() -> None:
    default = object()

    def f(x: object = default) -> None: ...

    target = cf.task()(f)
    assert target.bind((), {}) == target.bind((default,), {}) == (default,)


def test_values_of_another_signature_are_refused() -> None:
    target = cf.task()(everything)
    with pytest.raises(TypeError, match=r"/everything has 7 parameters now, but was submitted with 2"):
        target.call_arguments((1, 2))


@pytest.mark.parametrize("inside", [False, True])
def test_submit_raises_at_the_call(inside: bool, request: pytest.FixtureRequest) -> None:
    if inside:
        request.getfixturevalue("engine")
    target: Target[..., Any] = cf.task()(everything)
    with pytest.raises(TypeError, match=r"everything\(\) missing 1 required positional argument: 'b'"):
        target.submit(1, d=2)
    with pytest.raises(TypeError, match=r"everything\(\) missing 1 required keyword-only argument: 'd'"):
        target(1, 2)
