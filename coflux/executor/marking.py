"""What the store may let go of: which families of runs still need which, and who refers to which blobs.

Pure: `survey.py` reads a store into a `Survey`, `choose` decides, `collection.py` carries it out.

A family (a root run and its child runs) goes as a whole, once it is settled and too old, or the store too big. If
another family still refers to it (a chain that leads into it, a shared handle, a handle in a value) it is *hidden*: its
rows and blobs stay, its logs go. Marking families instead of counting references lets go of those, too, that refer to
each other only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, assert_never

from msgspec import Struct, field

from coflux.encoded import Value
from coflux.executor.blobs import BlobFile
from coflux.executor.messages import Failed, Outcome, Succeeded, TargetSpec

__all__ = ["Decision", "Family", "Limits", "Marks", "Survey", "choose", "needed", "reached"]


class Limits(NamedTuple):
    """What may stay. `before`: what ended earlier than this goes, in seconds since the epoch; `None`: no age does.
    `size`: bytes of the data directory above which the oldest go; `None`: no size does."""

    before: float | None = None
    size: int | None = None


class Marks(Struct):
    """What values refer to: blobs by digest, assets by the digest of their manifest, executions by id."""

    blobs: set[str] = field(default_factory=set)
    assets: set[str] = field(default_factory=set)
    executions: set[str] = field(default_factory=set)

    def value(self, value: Value) -> None:
        if value.blob is not None:
            self.blobs.add(value.blob)
        for reference in value.references:
            match reference.kind:
                case "asset":
                    self.assets.add(reference.id)
                case "execution":
                    self.executions.add(reference.id)
                case "secret":
                    pass  # nothing of it is stored
                case _:
                    assert_never(reference.kind)

    def values(self, values: Iterable[Value | None]) -> None:
        for value in values:
            if value is not None:
                self.value(value)

    def target(self, spec: TargetSpec) -> None:
        self.values((spec.code, spec.when))

    def outcome(self, outcome: Outcome) -> None:
        match outcome:
            case Succeeded(value):
                self.value(value)
            case Failed(failure):
                if failure.exception is not None:
                    from coflux.failures import packed_values  # slow to import, and failures are rare

                    self.values(packed_values(failure))


class Family(Struct):
    """A root run and all that came of it.

    `refers` are the families that it refers to. `rows` and `size` (about; bytes) are those in the main database,
    `log_rows` and `log_size` those in the other, if they were asked for. `ended_at`: when the last of it ended, in
    seconds since the epoch.
    """

    root: str
    settled: bool = True
    hidden: bool = False
    ended_at: float = 0.0
    runs: int = 0
    rows: int = 0
    size: int = 0
    log_rows: int = 0
    log_size: int = 0
    blobs: set[str] = field(default_factory=set)
    refers: set[str] = field(default_factory=set)
    targets: set[int] = field(default_factory=set)
    contexts: set[int] = field(default_factory=set)


class Survey(Struct):
    """All that is in a store: families by their roots, blobs by digest, ids of targets and of contexts. `total` are the
    bytes of its directory."""

    families: dict[str, Family] = field(default_factory=dict)
    files: dict[str, BlobFile] = field(default_factory=dict)
    total: int = 0
    targets: set[int] = field(default_factory=set)
    contexts: set[int] = field(default_factory=set)


class Decision(NamedTuple):
    """`expired`: families that are deleted, oldest first. `gone`: those whose rows go, among them such as were deleted
    before and are not needed any more. `size`: about the bytes that the directory has then, once every blob that
    nobody refers to is old enough to go, too."""

    expired: list[str]
    gone: set[str]
    size: int


def needed(families: Mapping[str, Family], deleted: Collection[str] = ()) -> set[str]:
    """The families that are to be seen, less `deleted`, and all that these refer to."""
    return reached(families, (root for root, one in families.items() if not one.hidden and root not in deleted))


def reached(families: Mapping[str, Family], start: Iterable[str]) -> set[str]:
    """The families of `start`, and all that these refer to, directly or not."""
    found = set(start)
    waiting = list(found)
    while waiting:
        following = families[waiting.pop()].refers.intersection(families) - found
        found |= following
        waiting += following
    return found


def choose(survey: Survey, limits: Limits, spared: Collection[str] = ()) -> Decision:
    """Decide which families are deleted: those that are too old, and then the oldest, until the rest is small enough.

    Args:
        spared: families that somebody is busy with.
    """
    families = survey.families
    settled = [one for one in families.values() if one.settled and not one.hidden and one.root not in spared]
    settled.sort(key=lambda one: (one.ended_at, one.root))
    order = [one.root for one in settled]
    least = sum(1 for one in settled if limits.before is not None and one.ended_at < limits.before)
    decision = _decide(survey, order[:least])
    if limits.size is None or decision.size <= limits.size:
        return decision
    most = len(order)
    while least < most:  # deleting more never leaves more
        middle = (least + most) // 2
        if _decide(survey, order[:middle]).size <= limits.size:
            most = middle
        else:
            least = middle + 1
    return _decide(survey, order[:least])


def _decide(survey: Survey, expired: list[str]) -> Decision:
    families = survey.families
    stay = needed(families, set(expired))
    gone = families.keys() - stay
    without_logs = gone.union(expired, (root for root, family in families.items() if family.hidden))
    kept = set[str]().union(*(families[root].blobs for root in stay))
    freed = sum(families[root].size for root in gone) + sum(families[root].log_size for root in without_logs)
    freed += sum(file.size for digest, file in survey.files.items() if digest not in kept)
    return Decision(expired, gone, max(survey.total - freed, 0))
