"""How rows of the run tree look. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from coflux.display.axis_labels import number
from coflux.display.marks import MARKS, Mark
from coflux.display.reasons import reason_of
from coflux.display.text import duration
from coflux.executor.rows import ExecutionRow, parse_execution_id
from coflux.executor.series import Progress
from coflux.tui.node import PROBLEMS, Kind, Node, TreeRow
from coflux.tui.painting import Glyphs, Piece, bar, counts_text, mark_of, seconds_of, sparkline
from coflux.tui.text import cell_len, clean, fit
from coflux.tui.tree import RunTree

__all__ = ["call_text", "mark_of_node", "paint_name", "paint_tree_row", "seconds_of_node", "state_notes"]

DEEPEST = 12  # levels that are told apart by their indentation
NAME_DEEPEST = 8  # where there is little room
TIME_WIDTH = 7  # cells of a duration
BAR_WIDTH = 8  # cells
SPARK_WIDTH = 8  # cells
NOTES_AT = 0.45  # of the width: where notes begin, so that they stand below each other
NOTES_LATEST = 52  # cells
NAMED = 2  # targets that a step waits for
LOOKED_AT = 200  # nodes, to name what a step waits for
ARGUMENT = 24  # cells of one of several arguments, where not all of the call has room

_WAITING = Mark("…", "~", "cyan dim")
_MEMOISED = Mark("≈", "m", "green")


def paint_tree_row(tree: RunTree, row: TreeRow, width: int, now: float, glyphs: Glyphs) -> list[Piece]:
    """A row of the run tree in `width` cells. The time always fits, then the notes in up to a third of the width, then
    as much of the call as there is room for."""
    node = row.node
    indent = "  " * min(row.depth, DEEPEST)
    if row.for_others:
        return _for_others(row, indent, width, glyphs)
    fold = " "
    if node.children:
        fold = glyphs.open if tree.is_open(node) else glyphs.closed
    mark = mark_of_node(node)
    pieces: list[Piece] = [(f"{indent}{fold} ", "dim")]
    if mark is not None:
        pieces.append((f"{glyphs.mark(mark)} ", mark.style))
    seconds = seconds_of_node(node, now)
    before = sum(cell_len(text) for text, _ in pieces)
    room = width - before - TIME_WIDTH - 1
    notes = state_notes(tree, node, now, glyphs) + _measured(tree, node, glyphs)
    title, notes = _shared_out(node, notes, room, min(int(width * NOTES_AT), NOTES_LATEST) - before, glyphs)
    pieces += [(title, _title_style(node)), *notes]
    room -= cell_len(title) + sum(cell_len(text) for text, _ in notes)
    taken = "" if seconds is None else duration(seconds)
    return [*pieces, (" " * max(room, 0), ""), (taken.rjust(TIME_WIDTH) + " ", "dim")]


def paint_name(tree: RunTree, row: TreeRow, width: int, glyphs: Glyphs) -> list[Piece]:
    """A row of the run tree in `width` cells, of which little is left: its mark and the call."""
    node = row.node
    indent = " " * min(row.depth, NAME_DEEPEST)
    if row.for_others:
        return _padded([(fit(f"{indent}{glyphs.closed} {row.folded or row.earlier:,} more", width), "dim")], width)
    fold = " "
    if node.children:
        fold = glyphs.open if tree.is_open(node) else glyphs.closed
    mark = mark_of_node(node)
    pieces: list[Piece] = [(f"{indent}{fold} ", "dim")]
    if mark is not None:
        pieces.append((f"{glyphs.mark(mark)} ", mark.style))
    room = width - 1 - sum(cell_len(text) for text, _ in pieces)
    title = call_text(node)
    if cell_len(title) > room:
        title = call_text(node, only_telling=True)
    return _padded([*pieces, (fit(title, room, glyphs.ellipsis), _title_style(node))], width)


def _padded(pieces: list[Piece], width: int) -> list[Piece]:
    return [*pieces, (" " * (width - sum(cell_len(text) for text, _ in pieces)), "")]


def _for_others(row: TreeRow, indent: str, width: int, glyphs: Glyphs) -> list[Piece]:
    text = f"{row.folded:,} ended well" if row.folded else f"{row.earlier:,} of earlier attempts"
    mark = glyphs.mark(MARKS["succeeded"]) if row.folded else glyphs.ellipsis
    text = fit(f"{indent}{glyphs.closed} {mark} {text}", width - 1, glyphs.ellipsis)
    hint = "enter: show "
    space = width - cell_len(text) - len(hint)
    return [(text, "dim"), (" " * space + hint if space > 2 else "", "dim")]


def _shared_out(node: Node, notes: list[Piece], room: int, column: int, glyphs: Glyphs) -> tuple[str, list[Piece]]:
    """The call and the notes, in `room` cells; notes begin at `column` if they have room there."""
    taken = sum(cell_len(text) + 1 for text, _ in notes)
    title = call_text(node)
    if cell_len(title) > column:  # all siblings alike, whether there are notes or not
        title = call_text(node, only_telling=True)
    title = fit(title, max(room - taken, room * 2 // 3), glyphs.ellipsis)
    if notes and node.kind is not Kind.GROUP and cell_len(title) < column:
        title += " " * min(column - cell_len(title), max(room - taken - cell_len(title), 0))
    room -= cell_len(title)
    fitted: list[Piece] = []
    for text, style in notes:
        fitted.append((fit(f" {text}", room, glyphs.ellipsis), style))
        room -= cell_len(fitted[-1][0])
    return title, fitted


# -- what a node is ---------------------------------------------------------------------------------------------------


def mark_of_node(node: Node) -> Mark | None:
    """The mark of its state; a group has none."""
    match node.kind:
        case Kind.GROUP:
            return None
        case Kind.LINK:
            return _MEMOISED
        case Kind.STEP:
            return _WAITING if node.waiting else mark_of(node.execution, node.state)


def seconds_of_node(node: Node, now: float) -> float | None:
    """How long the newest attempt has been running, or ran; of a group, from the first to the last of its steps."""
    if node.kind is Kind.STEP:
        return seconds_of(node.execution, now)
    if node.kind is Kind.LINK or node.began is None:
        return None
    ended = now if node.unfinished or node.ended is None else node.ended
    return max(ended - node.began, 0.0)


def _title_style(node: Node) -> str:
    workflow = node.info is not None and node.info.type == "workflow"
    return "bold" if workflow or node.kind is Kind.GROUP else ""


def call_text(node: Node, *, only_telling: bool = False) -> str:
    """`fetch(page=3, retries=2)`: a single argument needs no name. With `only_telling`, of several arguments those are
    left out that are the same in all calls of that target beside it."""
    if node.kind is Kind.GROUP:
        return f"[{clean(node.title)}]"
    return f"{clean(node.title)}({clean(', '.join(_arguments(node, only_telling)), 300)})"


def _arguments(node: Node, only_telling: bool) -> Iterator[str]:
    info = node.info
    if info is None:
        return
    if len(info.arguments) == 1:
        yield info.arguments[0]
        return
    telling = node.telling if only_telling else frozenset()
    for at, (name, text) in enumerate(zip(info.parameters, info.arguments, strict=False)):
        if not telling:
            yield f"{name}={text}"
        elif at in telling:
            yield f"{name}={fit(text, ARGUMENT)}"


# -- what is to be said of it -----------------------------------------------------------------------------------------


def state_notes(tree: RunTree, node: Node, now: float, glyphs: Glyphs) -> list[Piece]:
    """What is known of the state of a node besides its mark and time."""
    if node.kind is Kind.GROUP:
        return _group_notes(node, glyphs)
    source = "‹" if glyphs.unicode else "<"  # noqa: RUF001
    if node.kind is Kind.LINK:
        assert node.shared is not None
        (run, step), *_ = node.shared.keys
        return [(f"memoised {source} {run}:{step}", "green dim")]
    row = node.execution
    if row is None:
        return []
    notes = list(_try_notes(node, row, now))
    if node.child_run or row.status == "spawned":
        into = "›" if glyphs.unicode else ">"  # noqa: RUF001
        notes.append((f"{into} run {node.child_run or parse_execution_id(row.next or '')[0]}", "blue"))
    match row.status:
        case "queued":
            notes += _queue_notes(tree, node, row, now, glyphs)
        case "running":
            notes += _running_notes(node, row, glyphs)
        case "cached":
            notes.append((f"cached {source} {_step_of(row.next)}", "green dim"))
        case "deferred":
            notes.append((f"replaced by {_step_of(row.next)}", "dim"))
        case "succeeded" | "spawned":
            pass
        case status:
            notes += _ending_notes(node, row, status)
    if row.older_code:
        notes.append(("older code", "yellow"))
    return notes


def _group_notes(node: Node, glyphs: Glyphs) -> list[Piece]:
    counts = {state: count for state, count in node.below.items() if count}
    total = sum(counts.values())
    notes = [(text.rstrip(), style) for text, style in counts_text(counts, glyphs)]
    if total and node.unfinished:
        done = 1 - node.unfinished / total
        notes.append((f"{bar(done, BAR_WIDTH, glyphs)} {done:4.0%}", ""))
    return notes


def _try_notes(node: Node, row: ExecutionRow, now: float) -> Iterator[Piece]:
    """`try 2/3 in 4s`; after a re-run `attempt 2`."""
    retries = node.retries
    if retries:
        limit = None if node.info is None else node.info.retries
        of = "" if limit is None else f"/{limit + 1}"
        yield f"try {retries + 1}{of}{_due(row, now)}", "yellow" if row.status == "queued" else "dim"
    elif row.trigger == "rerun":
        yield f"attempt {node.tries}", "dim"


def _due(row: ExecutionRow, now: float) -> str:
    return f" in {duration(row.due_at - now)}" if row.due_at is not None and row.due_at > now else ""


def _queue_notes(tree: RunTree, node: Node, row: ExecutionRow, now: float, glyphs: Glyphs) -> Iterator[Piece]:
    """Why it does not run yet."""
    if row.waits_for:
        if row.trigger == "resumption":
            yield "suspended", "dim"
        yield _awaited(tree, row.waits_for, glyphs), "dim"
    elif row.reason in ("", "delayed") and (due := _due(row, now)):
        if row.trigger != "retry":  # there it is said of the try
            yield (f"again{due}" if row.trigger == "recurrence" else due.lstrip()), "dim"
    elif why := reason_of(row, now):
        yield tree.full if why == "ready" and tree.full else clean(why, 200), "dim"
    if row.trigger == "retry" and node.last_problem:
        yield clean(node.last_problem, 200), "red dim"


def _running_notes(node: Node, row: ExecutionRow, glyphs: Glyphs) -> Iterator[Piece]:
    if node.progress is not None:
        yield _progress_text(node.progress, glyphs), ""
    if node.waiting:
        yield _awaiting(node, glyphs), "cyan dim"
    elif row.reason:
        yield clean(row.reason, 200), "dim"


def _ending_notes(node: Node, row: ExecutionRow, status: str) -> Iterator[Piece]:
    """Of what did not succeed: why; the word where the mark and the reason do not tell."""
    style = "red" if status in PROBLEMS else mark_of(row, status).style
    word, why = status.replace("_", " "), node.problem or row.reason
    if not why.startswith(word) and (status != "failed" or not why):
        yield word, style
    if why:
        yield clean(why, 200), style


def _awaiting(node: Node, glyphs: Glyphs) -> str:
    """`on fetch_page x3`: what a step that waits has submitted, and has not ended."""
    looked = list(islice(_steps_of(node), LOOKED_AT))
    names = [one.title for one in looked if one.state in ("queued", "running")]
    if len(looked) == LOOKED_AT:
        return f"on {node.unfinished - 1:,} steps"
    return _counted(names, glyphs) if names else "waiting"


def _steps_of(node: Node) -> Iterator[Node]:
    for child in node.children:
        if child.kind is Kind.GROUP:
            yield from _steps_of(child)
        else:
            yield child


def _awaited(tree: RunTree, ids: list[str], glyphs: Glyphs) -> str:
    keys = [parse_execution_id(one)[:2] for one in ids]
    nodes = [tree.find(run, step) for run, step in keys]
    names = [f"{run}:{step}" if node is None else node.title for node, (run, step) in zip(nodes, keys, strict=True)]
    return _counted(names, glyphs)


def _counted(names: Iterable[str], glyphs: Glyphs) -> str:
    times = "×" if glyphs.unicode else "x"  # noqa: RUF001
    counts = Counter(names).most_common()
    named = [clean(name, 60) + (f" {times}{count}" if count > 1 else "") for name, count in counts[:NAMED]]
    rest = sum(count for _, count in counts[NAMED:])
    return f"on {', '.join(named)}{f' +{rest}' if rest else ''}"


def _measured(tree: RunTree, node: Node, glyphs: Glyphs) -> list[Piece]:
    """`▇▅▃▂▁▁▁▁ 0.41 m`: the course of a metric and its last value."""
    row = node.execution
    spark = None if row is None else tree.sparks.get((row.run, row.step, row.attempt))
    if spark is None:
        return []
    units = f" {clean(spark.units, 8)}" if spark.units else ""
    return [(sparkline(spark.values, SPARK_WIDTH, glyphs), "cyan"), (f"{number(spark.last)}{units}", "")]


def _progress_text(progress: Progress, glyphs: Glyphs) -> str:
    """`████░░░░  55% ~18s left`, or `1200` where the end is not known."""
    if progress.fraction is None:
        return f"{progress.value:g}"
    left = "" if progress.eta is None else f" ~{duration(progress.eta)} left"
    return f"{bar(progress.fraction, BAR_WIDTH, glyphs)} {progress.fraction:4.0%}{left}"


def _step_of(execution: str | None) -> str:
    return "" if execution is None else execution.rpartition(":")[0]
