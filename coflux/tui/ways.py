"""Ways through a run tree: to the next problem, the next match of a search, the step that runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from coflux.tui.node import PROBLEMS, Kind, Node
from coflux.tui.tree import RunTree

__all__ = ["first_problem", "match_number", "next_match", "next_problem", "running_step"]


def next_problem(tree: RunTree, after: Node | None, backwards: bool = False) -> Node | None:
    """The step after (or before) a node, in the order of the tree, that did not succeed; the search goes round."""
    nodes = _where(tree, after, lambda node: node.failed > 0, _is_problem)
    return _next(nodes, after, backwards, _is_problem)


def first_problem(tree: RunTree) -> Node | None:
    """The step that did not succeed, with none below it that did not either: where the trouble seems to begin."""
    node, found = tree.top, None
    while node.failed:
        below = next((child for child in node.children if child.failed), None)
        if below is None:
            return node
        node, found = below, below
    return found


def next_match(tree: RunTree, after: Node | None, backwards: bool = False) -> Node | None:
    """The step after (or before) a node that was found by the search; it goes round."""
    return _next(_matches(tree, after), after, backwards, tree.found.__contains__)


def match_number(tree: RunTree, node: Node | None) -> int:
    """Which of the matches a node is, from 1; 0 for none of them."""
    return _matches(tree, node).index(node) + 1 if node is not None and node in tree.found else 0


def running_step(tree: RunTree, now_at: Node | None) -> Node | None:
    """The deepest step that runs; of several the one where one is, else the first. `None` if none runs."""
    if now_at is not None and now_at.state == "running" and not now_at.below["running"]:
        return now_at
    node = tree.top
    while node.below["running"]:
        below = next((child for child in node.children if child.state == "running" or child.below["running"]), None)
        if below is None:
            break
        node = below
    return None if node is tree.top else node


def _matches(tree: RunTree, besides: Node | None) -> list[Node]:
    return _where(tree, besides, tree.leading.__contains__, tree.found.__contains__)


def _is_problem(node: Node) -> bool:
    return node.state in PROBLEMS and node.kind is Kind.STEP


def _where(
    tree: RunTree, besides: Node | None, enter: Callable[[Node], bool], wanted: Callable[[Node], bool]
) -> list[Node]:
    """The nodes that are wanted, and one besides, in the order of the tree; `enter` says which to look below."""
    path = set() if besides is None else {besides, *besides.ancestors()}
    return [node for node in _walk(tree, lambda one: one in path or enter(one)) if node is besides or wanted(node)]


def _walk(tree: RunTree, enter: Callable[[Node], bool]) -> Iterator[Node]:
    stack = [tree.top]
    while stack:
        node = stack.pop()
        yield node
        if enter(node):
            stack.extend(reversed(node.children))


def _next(nodes: list[Node], after: Node | None, backwards: bool, wanted: Callable[[Node], bool]) -> Node | None:
    """The wanted one that follows `after`, which comes last itself."""
    if backwards:
        nodes.reverse()
    start = nodes.index(after) + 1 if after is not None else 0
    return next(filter(wanted, nodes[start:] + nodes[:start]), None)
