"""Keys are equal for equal values, however and wherever these were made; handles stay references in them."""

from __future__ import annotations

import collections
import copy
import datetime as dt
import functools
import json
import math
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import tracemalloc
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coflux.handles import Execution
from coflux.keys import DEPTH_LIMIT, UnkeyableValue, key_of
from tests.values import key_kinds
from tests.values.conftest import PROJECT, RunScript
from tests.values.key_kinds import (
    KINDS,
    WORDS,
    Access,
    Box,
    Color,
    Items,
    Model,
    Order,
    Plain,
    Point,
    Size,
    Slotted,
    Table,
    Words,
    double,
    handle,
    key,
    strings,
)

SEEDS = (0, 1, 2)


def in_new_process(code: str, *, seed: int | str = "random") -> str:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(PROJECT)}
    return subprocess.check_output([sys.executable, "-W", "error", "-c", code], text=True, env=environment)


# -- equal values -----------------------------------------------------------------------------------------------------


def test_processes_agree_whatever_their_hash_seed() -> None:
    code = "import json; from tests.values.key_kinds import keys; print(json.dumps(keys()))"
    here = key_kinds.keys()
    assert len(here) >= 40
    assert [json.loads(in_new_process(code, seed=seed)) for seed in SEEDS] == [here] * len(SEEDS)


def test_sets_really_have_another_order_in_other_processes() -> None:
    code = "from tests.values.key_kinds import WORDS; print(list(set(WORDS)))"
    assert len({in_new_process(code, seed=seed) for seed in SEEDS}) == len(SEEDS)


def test_classes_of_a_script_have_stable_keys(run_script: RunScript) -> None:
    script = """
import dataclasses
from coflux.keys import key_of

@dataclasses.dataclass
class Order:
    name: str

def double(number): return 2 * number

print(key_of([Order("a"), Order, double]).digest.hex())
"""
    assert run_script(script) == run_script("unused = 1\n" + script)


def test_importing_keys_is_light() -> None:
    code = "import sys, coflux.keys; print(*sys.modules)"
    heavy = {"asyncio", "logging", "msgspec", "numpy", "pathlib", "pickle", "socket", "subprocess", "tempfile", "uuid"}
    without = set(in_new_process("import sys; print(*sys.modules)").split())
    assert (set(in_new_process(code).split()) - without) & heavy == set()


NEITHER_COPIED_NOR_PICKLED = {"handle", "asset", "entry of an asset", "Secret", "memoryview"}


@pytest.mark.parametrize("kind", KINDS)
def test_copies_have_the_same_key(kind: str) -> None:
    make = KINDS[kind]
    value = make()
    assert key(value) == key(make())
    if kind not in NEITHER_COPIED_NOR_PICKLED:
        assert key(copy.deepcopy(value)) == key(value)
        assert key(pickle.loads(pickle.dumps(value))) == key(value)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())  # lone surrogates included
    | st.binary()
    | st.binary().map(bytearray)
    | st.complex_numbers()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.timedeltas()
    | st.sampled_from([Color.RED, Size.LARGE, Access.READ | Access.WRITE, pathlib.Path("/a"), ..., Order, double])
)
hashables = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner) | inner.map(Slotted),
    max_leaves=5,
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.lists(inner).map(collections.deque)
        | st.lists(inner).map(Items)
        | st.dictionaries(hashables, inner)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(hashables, inner).map(Table)
        | st.dictionaries(st.text(), inner).map(collections.OrderedDict)
        | st.sets(hashables)
        | st.frozensets(hashables)
        | st.sets(st.text()).map(Words)
        | inner.map(lambda part: Point(1, part))
        | inner.map(Slotted)
        | inner.map(Box)
        | inner.map(lambda part: Plain(part=part, other=1))
        | st.dictionaries(st.sampled_from("abc"), inner).map(lambda parts: types.SimpleNamespace(**parts))
    )


def made_differently(value: Any) -> Any:
    """An equal value that shares no container with `value`; dicts and sets are filled in the reverse order."""
    again = made_differently
    cls = type(value)
    if cls in (dict, Table):
        return cls({again(key): again(part) for key, part in reversed(value.items())})
    if cls in (set, Words):
        grown = cls(str(number) for number in range(100))  # and shrunk: a bigger table has another order
        filler = set(grown) - set(value)
        for part in reversed(list(value)):
            grown.add(part)
        grown -= filler
        return grown
    if cls is frozenset:
        return frozenset(again(set(value)))
    if cls in (list, tuple, collections.deque, Items):
        return cls(map(again, value))
    if cls is collections.OrderedDict:
        return cls((again(key), again(part)) for key, part in value.items())
    if cls is Point:
        return Point(value.x, again(value.y))
    if cls in (Slotted, Box):
        return cls(again(value.part if cls is Slotted else value.content))
    if cls in (Plain, types.SimpleNamespace):
        return cls(**{name: again(part) for name, part in reversed(vars(value).items())})
    return copy.deepcopy(value)


@given(st.recursive(scalars, containers, max_leaves=20))
@example({1: "a", "1": "b", None: 0, (1, 2): 3, b"": {1}})
def test_how_a_value_was_made_does_not_count(value: Any) -> None:
    expected = key_of(value)
    assert expected.references == ()
    assert key_of(made_differently(value)) == expected
    assert key_of(copy.deepcopy(value)) == expected
    assert key_of(pickle.loads(pickle.dumps(value))) == expected


EQUAL: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "NaNs": (lambda: math.nan, lambda: -float("nan")),
    "NaN keys": (lambda: {float("nan"): 1, math.nan: 2}, lambda: {math.nan: 2, float("nan"): 1}),
    "a shared list and two equal ones": (lambda: [WORDS, WORDS], lambda: [WORDS, list(WORDS)]),
    "an alias of an enumeration's member": (lambda: Color.RED, lambda: Color.CRIMSON),
    "a cached property": (lambda: Order("a"), lambda: touched(Order("a"))),
    "a cached property of a model": (Model, lambda: touched(Model())),
    "fields that were given": (Model, lambda: Model(name="a", tags=set())),
    "offsets": (lambda: dt.timezone.utc, lambda: dt.timezone(dt.timedelta(0))),  # noqa: UP017
    "C and Fortran order": (lambda: np.ones((300, 500)), lambda: np.asfortranarray(np.ones((300, 500)))),
    "strides": (lambda: np.arange(10)[::2], lambda: np.array([0, 2, 4, 6, 8])),
    "negative strides": (lambda: np.arange(200_000)[::-1], lambda: np.arange(199_999, -1, -1)),
    "transposed strings": (lambda: np.array([["a", "b"], ["c", "d"]]).T, lambda: np.array([["a", "c"], ["b", "d"]])),
    "variable strings": (lambda: strings(["a" * 50, "b"]), lambda: strings(["b", "a" * 50])[::-1]),
    "gaps in structures": (lambda: structures(0), lambda: structures(255)),
    "gaps in long doubles": (lambda: long_doubles(0), lambda: long_doubles(255)),
    "blocks of a frame": (lambda: pd.DataFrame({"a": [1], "b": [2]}), lambda: column_by_column({"a": [1], "b": [2]})),
    "what a mask hides": (
        lambda: np.ma.array([1, 2], mask=[False, True]),
        lambda: np.ma.array([1, 3], mask=[False, True]),
    ),
    "what missing values hide": (lambda: masked_integers(1), lambda: masked_integers(2)),
    "unused levels": (
        lambda: pd.MultiIndex.from_tuples([("a", 1)]),
        lambda: pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])[:1],
    ),
    "memory views": (lambda: memoryview(b"ac"), lambda: memoryview(b"abcd")[::2]),
}


def touched(value: Any) -> Any:
    assert value.title == "A"
    return value


def structures(filler: int) -> Any:
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    array = np.full(3 * dtype.itemsize, filler, dtype="u1").view(dtype)
    array["a"], array["b"] = 1, 2.0
    return array


def long_doubles(filler: int) -> Any:
    array = np.array([1, 2], dtype="g") / 3
    padding = array.itemsize - 10 if np.finfo("g").nmant == 63 else 0
    if padding:
        array.view("u1").reshape(2, -1)[:, -padding:] = filler
    return array


def column_by_column(columns: dict[str, list[int]]) -> Any:
    frame = pd.DataFrame(index=pd.RangeIndex(1))
    for name, values in columns.items():
        frame[name] = values
    return frame


def masked_integers(hidden: int) -> Any:
    return pd.Series(pd.arrays.IntegerArray(np.array([1, hidden]), np.array([False, True])))


@pytest.mark.parametrize("case", EQUAL)
def test_equal_values_have_one_key(case: str) -> None:
    first, second = EQUAL[case]
    assert key(first()) == key(second())


# -- handles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        lambda part: part,
        lambda part: [1, (part,)],
        lambda part: {"z": 1, "a": {"b": [part]}},
        lambda part: Order("a", part),
        Slotted,
        Box,
        lambda part: Model.model_construct(name=part),
        lambda part: {part: 1},
        lambda part: {1, (2, part)},
        lambda part: np.array([None, part], dtype=object),
        lambda part: functools.partial(double, part),
        lambda part: collections.deque([part]),
    ],
)
def test_handles_are_found_everywhere(place: Callable[[object], object]) -> None:
    found = key_of(place(handle(7)))
    assert [reference.id for reference in found.references] == ["R1:7:1"]
    assert key_of(place(handle(8))).digest == found.digest
    assert key_of(place(7)).digest != found.digest


def test_references_have_the_order_of_their_places() -> None:
    a, b, c = handle(1), handle(2), handle(3)
    assert key_of([a, {"y": c, "x": b}, a]).references == (a, b, c, a)
    assert key_of([a, {"x": b, "y": c}, a]) == key_of([a, {"y": c, "x": b}, a])
    assert key_of({a: 1, "x": b, c: 2}) == key_of({"x": b, c: 2, a: 1})
    assert {key_of({a: 1, c: 2, "x": b}).references, key_of({"x": b, c: 2, a: 1}).references} == {(a, c, b)}
    assert key_of([a, {"x": b, "y": c}]).digest != key_of([a, {"x": b}, c]).digest


def test_sets_of_handles_have_one_order() -> None:
    handles = [handle(number) for number in range(1, 10)]
    forwards, backwards = (dict.fromkeys(order) for order in (handles, reversed(handles)))
    assert list(forwards) != list(backwards)
    assert key_of(forwards) == key_of(backwards)
    assert key_of({(1, handles[0]), (0, handles[1])}) == key_of({(0, handles[1]), (1, handles[0])})
    assert key_of({(1, handles[0]), (0, handles[1])}) != key_of({(0, handles[0]), (1, handles[1])})


def test_handles_whose_id_is_not_known_yet_are_not_asked_for_it() -> None:
    unknown = [Execution[Any](module="m", target="t", number=number) for number in (1, 2)]
    value = {"a": unknown[0], "b": [unknown[1]], (1, 2): unknown[1]}
    found = key_of(value)
    assert sorted(reference.number or 0 for reference in found.references) == [1, 2, 2]


def test_shared_parts_bring_their_handles_each_time() -> None:
    shared = [[[handle(1), 2]]]  # deep enough to be remembered
    found = key_of([shared, handle(2), shared])
    assert [reference.id for reference in found.references] == ["R1:1:1", "R1:2:1", "R1:1:1"]
    assert found == key_of([shared, handle(2), copy.deepcopy(shared)])


# -- size -------------------------------------------------------------------------------------------------------------


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_deep_values_have_keys() -> None:
    assert key(nested(10_000)) == key(nested(10_000)) != key(nested(10_001))
    with pytest.raises(UnkeyableValue, match=r"^value: list cannot be keyed: it is nested more than 50,000"):
        key_of(nested(DEPTH_LIMIT))


def test_the_path_to_a_deep_culprit_is_cut_short() -> None:
    value: object = threading.Lock()
    for _ in range(10_000):
        value = [value]
    with pytest.raises(UnkeyableValue, match=r"^value(\[0\]){49}…: _thread\.lock cannot be keyed"):
        key_of(value)


def test_parts_that_are_shared_on_many_levels_are_hashed_once() -> None:
    shared: Any = [1]
    for _ in range(200):  # 2**200 lists, by value
        shared = [shared, shared]
    assert key(shared) == key(pickle.loads(pickle.dumps(shared)))


def long_list() -> object:
    return list(range(500_000))


def long_frame() -> object:
    return pd.DataFrame(np.zeros((1_000_000, 4)))


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda: np.zeros((2000, 2000)), 100_000),
        (lambda: np.asfortranarray(np.zeros((2000, 2000))), 2_000_000),
        (lambda: bytes(32_000_000), 100_000),
        (lambda: memoryview(bytes(32_000_000)), 100_000),
        (long_list, 2_000_000),
        (long_frame, 2_000_000),
    ],
)
def test_big_values_are_not_copied(make: Callable[[], object], limit: int) -> None:
    value = make()
    key_of(value)
    tracemalloc.start()
    try:
        key_of(value)
        assert tracemalloc.get_traced_memory()[1] < limit  # bytes
    finally:
        tracemalloc.stop()


def test_big_values_are_hashed_on_one_thread() -> None:
    """blake3's own threads do not survive a fork, and whoever is forked would wait for them."""
    code = """
import os
from coflux.keys import key_of
before = len(os.listdir("/proc/self/task"))
key_of(bytes(50_000_000))
print(len(os.listdir("/proc/self/task")) - before)
"""
    assert in_new_process(code).strip() == "0"
