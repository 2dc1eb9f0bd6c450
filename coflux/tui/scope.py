"""Whose data a tab shows: that of the step under the cursor and of those below it, of that step alone, or all."""

from __future__ import annotations

from enum import Enum

from coflux.tui.tree import Kind, Node
from coflux.tui.updates import StepKey

__all__ = ["Scope", "steps_of"]


class Scope(Enum):
    BELOW = "step and below"
    STEP = "this step"
    RUN = "whole run"

    @property
    def next(self) -> Scope:
        scopes = list(Scope)
        return scopes[(scopes.index(self) + 1) % len(scopes)]


def steps_of(scope: Scope, node: Node | None) -> frozenset[StepKey] | None:
    """The steps that are meant when the cursor is on `node`; `None` for all of the run."""
    if node is None or scope is Scope.RUN:
        return None
    shown = node.shared or node
    if scope is Scope.STEP and shown.kind is Kind.STEP:
        return frozenset(shown.keys)
    if shown.parent is not None and shown.parent.parent is None and len(shown.parent.children) == 1:
        return None  # the root
    found: set[StepKey] = set()
    stack = [shown]
    while stack:
        one = stack.pop()
        found.update(one.keys)
        stack.extend(one.children)
    return frozenset(found)
