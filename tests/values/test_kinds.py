"""Every kind of value comes back as it was: of its type, equal, alone and inside others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.executor.blobs import FileBlobs
from coflux.values import decode, encode
from tests.values.sameness import difference
from tests.values.value_kinds import CONTAINERS, KINDS


def trip(value: Any, blobs: FileBlobs) -> Any:
    return decode(encode(value, blobs), blobs)


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_as_it_was(kind: str, blobs: FileBlobs) -> None:
    make = KINDS[kind]
    value = make()
    assert difference(trip(value, blobs), value) == ""
    assert difference(value, make()) == "", "it was changed by being sent"


@pytest.fixture(scope="module")
def lasting_blobs(tmp_path_factory: pytest.TempPathFactory) -> FileBlobs:
    """For the examples of one test, which all use the same fixtures."""
    return FileBlobs(str(tmp_path_factory.mktemp("blobs")))


@given(
    value=st.recursive(
        st.sampled_from(sorted(KINDS)).map(lambda kind: KINDS[kind]()),
        lambda inner: (
            st.builds(lambda name, part: CONTAINERS[name](part), st.sampled_from(sorted(CONTAINERS)), inner)
            | st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_it_comes_back_as_it_was_inside_others(value: object, lasting_blobs: FileBlobs) -> None:
    assert difference(trip(value, lasting_blobs), value) == ""


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0.0, -0.0),
        ([1, 2], (1, 2)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (KINDS["shared part"](), [[1], [1]]),
        (
            KINDS["datetime in the second of two hours"](),
            KINDS["datetime in the second of two hours"]().replace(fold=0),
        ),
        (KINDS["read-only array"](), KINDS["read-only array"]().copy()),
        (KINDS["Fortran array"](), KINDS["Fortran array"]().copy("C")),
        (KINDS["DataFrame with attributes and a name"](), KINDS["DataFrame"]()),
        (
            KINDS["pydantic model with a changed private attribute"](),
            KINDS["pydantic model of which fields were set"](),
        ),
        (KINDS["exception with notes and attributes"](), ValueError("a", 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_differences_are_seen(left: object, right: object) -> None:
    assert difference(left, right)
