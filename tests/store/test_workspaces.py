"""Workspaces: names, bases, and what they can become."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from coflux.executor.history import History
from coflux.executor.rows import WorkspaceRow
from coflux.executor.store import Store
from coflux.executor.workspaces import UnknownWorkspace, WorkspaceRefused


def test_default_is_always_there_and_cannot_be_archived(store: Store, history: History) -> None:
    (row,) = store.workspaces.all()
    assert (row.name, row.base, row.state) == ("default", None, "active")
    assert abs(row.created_at - time.time()) < 60
    assert history.workspaces() == [row]
    with pytest.raises(WorkspaceRefused, match="workspace default cannot be archived: it is where runs go"):
        store.workspaces.change("default", "archive")


@pytest.mark.parametrize("name", ["a", "team-1/dev_2/X", "_", "0"])
def test_names_are_segments(store: Store, name: str) -> None:
    store.workspaces.create(name, "default", 5.0)
    assert store.workspaces.get(name) == WorkspaceRow(name, "default", "active", 5.0)


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a//b", "a b", "é", "a\n", "a.b"])
def test_other_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(WorkspaceRefused, match="cannot be the name of a workspace: letters, digits, _ and -"):
        store.workspaces.create(name, None, 5.0)


def test_unknown_names_come_with_near_ones(store: Store) -> None:
    store.workspaces.create("staging", None, 5.0)
    with pytest.raises(UnknownWorkspace) as near:
        store.workspaces.get("stagign")
    assert str(near.value) == "there is no workspace 'stagign': did you mean staging?"
    with pytest.raises(UnknownWorkspace) as far:
        store.workspaces.create("mine", "qqq", 5.0)
    assert str(far.value) == "there is no workspace 'qqq': there are default, staging"
    with pytest.raises(UnknownWorkspace):
        store.workspaces.change("qqq", "pause")


def test_names_are_unique_and_no_workspace_is_its_own_base(store: Store) -> None:
    store.workspaces.create("dev", None, 5.0)
    for base in (None, "default"):
        with pytest.raises(WorkspaceRefused, match="there is a workspace dev already"):
            store.workspaces.create("dev", base, 6.0)
    with pytest.raises(WorkspaceRefused, match="workspace dev cannot be based on itself"):
        store.workspaces.create("dev", "dev", 6.0)
    with pytest.raises(WorkspaceRefused, match="workspace new cannot be based on itself"):
        store.workspaces.create("new", "new", 6.0)


def test_pausing_lasts_until_it_is_resumed(data_dir: str) -> None:
    with closing(Store.open(data_dir)) as store:
        store.workspaces.create("dev", "default", 5.0)
        for name in ("default", "dev", "dev"):
            store.workspaces.change(name, "pause")
    with closing(Store.open(data_dir)) as store:
        assert [row.state for row in store.workspaces.all()] == ["paused", "paused"]
        store.workspaces.change("dev", "resume")
        assert store.workspaces.get("dev") == WorkspaceRow("dev", "default", "active", 5.0)


def test_a_base_is_archived_after_what_is_based_on_it(store: Store) -> None:
    for name, base in (("a", None), ("b", "a"), ("c", "a")):
        store.workspaces.create(name, base, 5.0)
    with pytest.raises(WorkspaceRefused, match="archive b, c first"):
        store.workspaces.change("a", "archive")
    for name in ("b", "c", "a"):
        store.workspaces.change(name, "archive")
    with pytest.raises(WorkspaceRefused, match="workspace a is archived: `coflux workspaces create a`"):
        store.workspaces.unarchived("a")
    with pytest.raises(WorkspaceRefused, match="workspace a is archived"):
        store.workspaces.create("d", "a", 5.0)
    with pytest.raises(WorkspaceRefused, match="workspace a is archived"):
        store.workspaces.change("a", "resume")


def test_an_archived_name_can_be_taken_up_the_other_way_round_without_a_cycle(store: Store) -> None:
    store.workspaces.create("a", None, 5.0)
    store.workspaces.create("b", "a", 5.0)
    assert store.workspaces.lineage("b") == ("b", "a")
    for name in ("b", "a"):
        store.workspaces.change(name, "archive")
    store.workspaces.create("b", None, 6.0)
    store.workspaces.create("a", "b", 6.0)
    assert store.workspaces.lineage("a") == ("a", "b")
    assert store.workspaces.lineage("b") == ("b",)


def test_a_lineage_is_nearest_first(store: Store) -> None:
    for name, base in (("a", "default"), ("b", "a"), ("c", "b")):
        store.workspaces.create(name, base, 5.0)
    assert store.workspaces.lineage("c") == ("c", "b", "a", "default")
    assert store.workspaces.lineage("default") == ("default",)
    assert store.workspaces.lineage("unknown") == ("unknown",)
    store.workspaces.create("unknown", "c", 5.0)
    assert store.workspaces.lineage("unknown") == ("unknown", "c", "b", "a", "default")
