"""What may go: random families with links, shared blobs and hidden members against an oracle, and the limits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from coflux.encoded import Reference
from coflux.executor.blobs import BlobFile, FileBlobs
from coflux.executor.marking import Family, Limits, Marks, Survey, choose
from coflux.executor.messages import Failed, Succeeded, TargetSpec
from coflux.failures import capture
from coflux.task_options import TaskOptions
from coflux.values import Value

NAMES = "abcdefgh"

_families = st.lists(
    st.builds(
        lambda settled, hidden, ended_at, refers, blobs: (settled or hidden, hidden, ended_at, refers, blobs),
        st.booleans(),
        st.booleans(),
        st.integers(0, 5),
        st.sets(st.sampled_from(NAMES), max_size=3),
        st.sets(st.sampled_from("1234"), max_size=2),
    ),
    min_size=1,
    max_size=len(NAMES),
)


def surveyed(families: Iterable[tuple[bool, bool, float, set[str], set[str]]]) -> Survey:
    found = Survey(total=2000)
    for root, (settled, hidden, ended_at, refers, blobs) in zip(NAMES, families, strict=False):
        found.families[root] = Family(
            root, settled, hidden, ended_at, size=100, log_size=10, blobs=set(blobs), refers=refers - {root}
        )
    found.files = {name: BlobFile(50, 0.0) for name in "12345"}
    return found


def is_needed(found: Survey, root: str, expired: list[str]) -> bool:
    """The oracle: whether a path leads to it from a family that is to be seen."""
    seen: set[str] = set()
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            if not found.families[one].hidden and one not in expired:
                return True
            waiting += [other for other, family in found.families.items() if one in family.refers]
    return False


def size_after(found: Survey, expired: list[str]) -> int:
    size = found.total
    kept: set[str] = set()
    for root, family in found.families.items():
        if is_needed(found, root, expired):
            kept |= family.blobs
        else:
            size -= family.size
        if family.hidden or root in expired:
            size -= family.log_size
    return size - sum(file.size for digest, file in found.files.items() if digest not in kept)


@given(_families, st.none() | st.integers(0, 6), st.none() | st.integers(0, 2000), st.sets(st.sampled_from(NAMES)))
def test_what_is_needed_stays_and_the_oldest_go_first(
    families: list[tuple[bool, bool, float, set[str], set[str]]],
    before: float | None,
    size: int | None,
    spared: set[str],
) -> None:
    found = surveyed(families)
    decision = choose(found, Limits(before, size), spared)

    assert decision.gone == {root for root in found.families if not is_needed(found, root, decision.expired)}
    expired = [found.families[root] for root in decision.expired]
    for family in expired:
        assert family.settled
        assert not family.hidden
        assert family.root not in spared
    stay = [one for one in found.families.values() if one.settled and not one.hidden and one not in expired]
    eligible = [one for one in stay if one.root not in spared]
    assert not [one for one in eligible if before is not None and one.ended_at < before]
    assert all(old.ended_at <= young.ended_at for old in expired for young in eligible)
    assert decision.size == size_after(found, decision.expired)
    too_old = [one for one in expired if before is not None and one.ended_at < before]
    if len(too_old) < len(expired):  # the others went for their size, and not one too many
        assert size is not None
        assert size_after(found, decision.expired[:-1]) > size
    if size is not None and decision.size > size:
        assert not eligible


DIGESTS = [character * 64 for character in "0123456789abcdef"]
VALUES = [Value("pickle", b"", 9, digest) for digest in DIGESTS]


def test_marks_of_values_targets_and_outcomes() -> None:
    marks = Marks()
    handle = Value(
        "pickle",
        b"x",
        1,
        None,
        (Reference("execution", "Rother:1:1"), Reference("asset", DIGESTS[0]), Reference("secret", "s")),
    )
    marks.values([VALUES[1], None, handle])
    marks.target(TargetSpec("m", "n", "task", (), TaskOptions(), code=VALUES[2], when=VALUES[3]))
    marks.outcome(Succeeded(VALUES[4]))
    assert marks == Marks({DIGESTS[1], DIGESTS[2], DIGESTS[3], DIGESTS[4]}, {DIGESTS[0]}, {"Rother:1:1"})


def test_marks_of_failures_with_nested_groups(tmp_path: Path) -> None:
    """Arguments and attributes of exceptions may be in blobs, those of a group's members as well."""
    blobs = FileBlobs(str(tmp_path))
    inner = ValueError("x" * 20_000)
    inner.payload = b"y" * 20_000  # type: ignore[attr-defined]
    error = ExceptionGroup("all", [inner, ExceptionGroup("more", [KeyError("z" * 20_000)])])
    marks = Marks()
    marks.outcome(Failed(capture(error, blobs)))
    assert marks.blobs == set(blobs.files())
    assert len(marks.blobs) == 3
