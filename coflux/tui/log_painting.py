"""How log entries look: in one line each, over as many as they need, or unfolded with all there is to know."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from rich.cells import cell_len

from coflux.display.text import duration
from coflux.executor import log_values
from coflux.executor.history import LogEntry
from coflux.logs import Level, fill, quoted
from coflux.tui.log_query import expression, matches
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.text import clean, fit, pad
from coflux.tui.updates import LogSearch, LogWhole

__all__ = ["MATCH", "Look", "Times", "level_name", "paint_entry", "paint_unfolded", "paint_wrapped"]

NARROW = 70  # cells, below which steps are told by their numbers
MOST_LINES = 200  # of an entry
LONGEST = 64 * 1024  # characters of an entry that are ever shown
VALUE_LENGTH = 200  # characters of a value beside the text
VALUES_AT = 0.55  # share of the width behind which values stand in line
MATCH = "yellow reverse"

_LEVELS = {
    Level.DEBUG: ("D", "dim"),
    Level.STDOUT: ("│", "dim"),
    Level.INFO: ("I", "blue"),
    Level.STDERR: ("┆", "yellow"),
    Level.WARNING: ("W", "yellow bold"),
    Level.ERROR: ("E", "red bold"),
}
_ASCII_LEVELS = {Level.STDOUT: "|", Level.STDERR: ":"}
_TEXT_STYLES = {Level.DEBUG: "dim", Level.WARNING: "yellow", Level.ERROR: "red"}

Line = list[Piece]


class Times(Enum):
    """What stands before an entry."""

    RUN = "since start"
    CLOCK = "clock"
    PREVIOUS = "since previous"


class Look(NamedTuple):
    """What entries are drawn with.

    Attributes:
        width: in cells.
        began: the time that entries are timed from.
        names: of steps, by run and number.
        top: the run that is open: of its steps the number is enough.
        number_width, step_width: how many cells the longest number of a step takes, and with its name.
    one_step: all entries are of one step, which need not be told.
        search: what is looked for: where it is, is marked, and entries without it are dim.
    """

    width: int
    glyphs: Glyphs
    began: float = 0.0
    names: Mapping[tuple[str, int], str] = {}
    top: str = ""
    number_width: int = 5
    step_width: int = 22
    one_step: bool = False
    times: Times = Times.RUN
    search: LogSearch | None = None


def level_name(level: int) -> str:
    return Level(level).name.lower()


def paint_entry(entry: LogEntry, before: LogEntry | None, look: Look) -> Line:
    """An entry in one line: time, step, level, text, values. `before` is the entry above it, if that is known."""
    prefix, room = _prefix(entry, before, look)
    text, rest = _content(entry, look)
    first, newline, _ = text.partition("\n")
    first = first.rstrip("\r")
    text_pieces = list(_colored(_cut(first, room), _TEXT_STYLES.get(Level(entry.level), "")))
    more = f" {look.glyphs.ellipsis}" if newline and text.rstrip() != first.rstrip() else ""
    values = _values(rest)
    taken, wanted = _width(text_pieces) + len(more), _width(values)
    if wanted and taken + 2 + wanted > room:  # each gets what the other leaves, and the values two fifths at least
        taken = min(taken, max(room - 2 - wanted, room * 3 // 5))
    line = [*_fitted(text_pieces, min(taken, room) - len(more), look.glyphs), (more, "dim")]
    if wanted and room - taken > 4:
        start = max(taken + 2, min(int(room * VALUES_AT), room - wanted))
        line += [(" " * (start - taken), ""), *_fitted(values, room - start, look.glyphs)]
    return _searched([*prefix, *line], len(prefix), entry, look)


def paint_wrapped(entry: LogEntry, before: LogEntry | None, look: Look) -> list[Line]:
    """An entry in as many lines as its text and values need."""
    prefix, room = _prefix(entry, before, look)
    text, rest = _content(entry, look)
    style = _TEXT_STYLES.get(Level(entry.level), "")
    lines = [list(_colored(line, style)) for line in _first_lines(text)]
    values = _values(rest)
    if values:
        lines[-1] += [("  ", ""), *values] if lines[-1] else values
    folded = list(_wrapped(lines, max(room, 1)))
    indent = [(" " * _width(prefix), "")]
    return [
        _searched([*(indent if number else prefix), *line], len(indent if number else prefix), entry, look)
        for number, line in enumerate(folded[:MOST_LINES])
    ]


def paint_unfolded(entry: LogEntry, whole: LogWhole | None, before: LogEntry | None, look: Look) -> list[Line]:
    """All there is to know of an entry; `whole` as soon as that is here."""
    full = entry if whole is None else whole.entry
    text, rest = _content(full, look)
    room = max(look.width - 4, 1)
    style = _TEXT_STYLES.get(Level(entry.level), "")
    lines: list[Line] = [paint_entry(entry, before, look)]
    text_lines = list(_wrapped([list(_colored(line, style)) for line in _first_lines(text)], room))
    shown = _width(text_lines[0]) <= min(_width_for_text(entry, before, look), room - 1)  # in the entry's own line
    lines += text_lines[1:] if shown else text_lines
    lines += _value_lines(rest, room)
    left = 0 if whole is None else whole.length - len(full.template or "")
    left += len(lines) - MOST_LINES if len(lines) > MOST_LINES and not left else 0
    if len(lines) > MOST_LINES or left:
        what = f"{whole.length:,} characters" if whole is not None else "more"
        lines = [
            *lines[:MOST_LINES],
            [(f"{look.glyphs.ellipsis} cut: {what} in all   ", "dim"), ("S", "bold"), (": save", "dim")],
        ]
    lines += _wrapped([[(_about(entry, look), "dim")]], room)
    bar = "│" if look.glyphs.unicode else "|"
    head, *others = lines
    return [
        head,
        *(
            _searched([(f"  {bar} ", "cyan"), *_fitted(line, room, look.glyphs)], 1, entry, look, always=True)
            for line in others
        ),
    ]


# -- parts of a line --------------------------------------------------------------------------------------------------


def _prefix(entry: LogEntry, before: LogEntry | None, look: Look) -> tuple[Line, int]:
    """What stands before the text, and how many cells that leaves."""
    level = Level(entry.level)
    mark, style = _LEVELS[level]
    if not look.glyphs.unicode:
        mark = _ASCII_LEVELS.get(level, mark)
    pieces: Line = [(_time(entry, before, look) + " ", "dim")] if look.width >= 30 else []
    if not look.one_step and look.width >= 45:
        pieces.append((_step(entry, look), "cyan"))
    pieces.append((mark + " ", style))
    return pieces, max(look.width - _width(pieces), 0)


def _time(entry: LogEntry, before: LogEntry | None, look: Look) -> str:
    match look.times:
        case Times.CLOCK:
            return time.strftime("%H:%M:%S", time.localtime(entry.at)) + f".{int(entry.at % 1 * 1000):03d}"
        case Times.PREVIOUS:
            return f"{'' if before is None else _difference(entry.at - before.at):>9}"
        case Times.RUN:
            return f"{_since(entry.at - look.began):>9}"


def _since(seconds: float) -> str:
    if abs(seconds) < 60:
        return f"{seconds:.3f}"
    sign, seconds = "-" if seconds < 0 else "", abs(seconds)
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{sign}{minutes:.0f}:{int(rest * 1000) / 1000:06.3f}"
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours:.0f}:{minutes:02.0f}:{int(rest):02d}"


def _difference(seconds: float) -> str:
    return (
        f"{seconds:+.3f}" if abs(seconds) < 60 else f"+{duration(seconds)}" if seconds > 0 else f"-{duration(-seconds)}"
    )


def _step(entry: LogEntry, look: Look) -> str:
    """The step that an entry is of: its number at least."""
    number = str(entry.step) if entry.run == look.top else f"{entry.run}:{entry.step}"
    if look.width < NARROW:
        width = min(look.number_width, 5)
        return pad(fit(number, width, look.glyphs.ellipsis), width) + " "
    width = min(look.step_width, 22 if look.width >= 110 else 14)
    name = look.names.get((entry.run, entry.step), "")
    return pad(fit(f"{number} {clean(name, 40)}", width, look.glyphs.ellipsis), width) + " "


def _content(entry: LogEntry, look: Look) -> tuple[str, dict[str, object]]:
    """The text, and the values that it does not mention. Of a megabyte only the beginning is ever looked at."""
    template = entry.template or ""
    if len(template) > LONGEST:
        template = template[:LONGEST]
    if not entry.values:
        return template, {}
    return fill(template, log_values.texts(entry.values), literal=entry.logger is not None)


def _values(values: Mapping[str, object]) -> Line:
    """`name=value`, each in the colour of its type."""
    pieces: Line = []
    for name, value in values.items():
        if pieces:
            pieces.append(("  ", ""))
        text = quoted(value[:VALUE_LENGTH]) if isinstance(value, str) else str(value)
        pieces += [(clean(name, 60) + "=", "dim"), (clean(text, VALUE_LENGTH), _value_style(value))]
    return pieces


def _value_style(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "magenta"
    if isinstance(value, int | float):
        return "cyan"
    return "green" if isinstance(value, str) else ""


def _value_lines(values: Mapping[str, object], room: int) -> Iterator[Line]:
    names = {name: clean(name, 60) for name in values}
    width = min(max(map(cell_len, names.values()), default=0), room // 3)
    for name, value in values.items():
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
        shown = [[(line, _value_style(value))] for line in _first_lines(text[:LONGEST])]
        left = pad(fit(names[name], width), width)
        for number, line in enumerate(_wrapped(shown, max(room - width - 2, 1))):
            yield [(f"{'' if number else left:<{width}}  ", "dim"), *line]


def _about(entry: LogEntry, look: Look) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at)) + f".{int(entry.at % 1 * 1000):03d}"
    name = look.names.get((entry.run, entry.step), "")
    parts = [at, level_name(entry.level), f"{entry.run}:{entry.step} {name}".rstrip(), f"attempt {entry.attempt}"]
    if entry.logger is not None:
        parts.append(f"logger {entry.logger}")
    return clean(("  ·  " if look.glyphs.unicode else "  -  ").join(parts))


def _width_for_text(entry: LogEntry, before: LogEntry | None, look: Look) -> int:
    """How many cells of the text its own line shows."""
    _, room = _prefix(entry, before, look)
    wanted = _width(_values(_content(entry, look)[1]))
    return max(room - 2 - wanted, room * 3 // 5) if wanted else room


# -- searching --------------------------------------------------------------------------------------------------------


def _searched(line: Line, start: int, entry: LogEntry, look: Look, *, always: bool = False) -> Line:
    """The line with what is looked for marked, from its piece number `start` on; dim, if the entry is without it."""
    if look.search is None:
        return line
    if not always and not matches(look.search, entry):
        return [(text, "dim") for text, _ in line]
    found = expression(look.search)
    marked = line[:start]
    for text, style in line[start:]:
        at = 0
        for match in found.finditer(text):
            if match.end() > match.start():
                marked += [(text[at : match.start()], style), (match[0], MATCH)]
                at = match.end()
        marked.append((text[at:], style))
    return marked


# -- text -------------------------------------------------------------------------------------------------------------

# What sets colours. All else that begins with an escape is shown as it is written.
_SGR = re.compile(r"\x1b\[([0-9;:]*)m")
_SGR_STYLES = {1: "bold", 2: "dim", 31: "red", 32: "green", 33: "yellow", 34: "blue", 35: "magenta", 36: "cyan"}
_SGR_STYLES |= {code + 60: name for code, name in _SGR_STYLES.items() if code > 30} | {90: "dim"}


def _colored(text: str, style: str) -> Iterator[Piece]:
    """A line, clean, in the colours that it sets itself."""
    if "\x1b" not in text:
        yield clean(text, LONGEST), style
        return
    at, current = 0, style
    for match in _SGR.finditer(text[:LONGEST]):
        if match.start() > at:
            yield clean(text[at : match.start()], LONGEST), current
        current = _after_sgr(match[1], current, style)
        at = match.end()
    if at < len(text):
        yield clean(text[at:], LONGEST), current


def _after_sgr(codes: str, current: str, plain: str) -> str:
    numbers = [int(code) if code else 0 for code in re.split("[;:]", codes) if len(code) < 5]
    names: list[str] = current.split()
    skip = 0
    for place, number in enumerate(numbers):
        if skip:
            skip -= 1
        elif number in (38, 48):  # of a palette, or of red, green and blue
            skip = 2 if numbers[place + 1 : place + 2] == [5] else 4
        elif number in (0, 39):
            names = plain.split()
        elif number == 22:
            names = [name for name in names if name not in ("bold", "dim")]
        elif name := _SGR_STYLES.get(number):
            kept = ("bold", "dim") if number > 2 else tuple(names)
            names = [*(one for one in names if one in kept and one != name), name]
    return " ".join(dict.fromkeys(names))


def _first_lines(text: str) -> list[str]:
    """The lines of a text, as many as are shown."""
    return [line.rstrip("\r") for line in text[:LONGEST].rstrip("\n").split("\n", MOST_LINES)[:MOST_LINES]]


def _cut(text: str, cells: int) -> str:
    """As much of a text as can come into so many cells: before anything else looks at each character of it."""
    return text[: 4 * cells + 200]


def _wrapped(lines: Iterable[Sequence[Piece]], width: int) -> Iterator[Line]:
    """Lines cut into lines of at most `width` cells, at a space where there is one in the second half."""
    for line in lines:
        folded: Line = []
        room = width
        for text, style in line:
            rest = text
            while rest:
                head = _beginning(rest, room)
                if not head and folded:
                    yield folded
                    folded, room = [], width
                    continue
                head = head or rest[0]  # a wide character where there is only room for a narrow one
                if len(head) < len(rest) and (space := head.rfind(" ")) > width // 2:
                    head = head[: space + 1]
                folded.append((head, style))
                room -= cell_len(head)
                rest = rest[len(head) :]
                if rest:
                    yield folded
                    folded, room = [], width
        yield folded


def _beginning(text: str, cells: int) -> str:
    """As much of a text as fits."""
    head = text[: max(cells, 0)]
    while not head.isascii() and (over := cell_len(head) - cells) > 0:
        head = head[: -((over + 1) // 2)]
    return head


def _fitted(pieces: Iterable[Piece], cells: int, glyphs: Glyphs) -> Line:
    """As many pieces as there is room for, with an ellipsis where something is cut off."""
    line: Line = []
    for text, style in pieces:
        width = cell_len(text)
        if width > cells:
            line.append((fit(text, cells, glyphs.ellipsis), style))
            break
        line.append((text, style))
        cells -= width
    return line


def _width(pieces: Iterable[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)
