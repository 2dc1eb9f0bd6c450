"""Lines of Python in colours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from coflux.tui.details.page import Line
from coflux.tui.painting import Piece
from coflux.tui.text import clean

__all__ = ["colored", "dedented"]

LONGEST = 400  # characters of a line that are shown


def dedented(lines: Sequence[str]) -> list[str]:
    """Lines without the indentation that they have in common, and safe to draw."""
    texts = [clean(line.expandtabs(4), LONGEST).rstrip() for line in lines]
    margin = min((len(text) - len(text.lstrip()) for text in texts if text), default=0)
    return [text[margin:] for text in texts]


@lru_cache(512)
def colored(lines: tuple[str, ...]) -> tuple[Line, ...]:
    """The lines, in pieces by what they are. They need not be the beginning of anything."""
    rows: list[list[Piece]] = [[]]
    for kind, text in _lexer().get_tokens("\n".join(lines)):
        style = _style(kind)
        for number, part in enumerate(text.split("\n")):
            if number:
                rows.append([])
            if part:
                rows[-1].append((part, style))
    rows += [[] for _ in lines]
    return tuple(rows[: len(lines)])


@cache
def _lexer() -> Any:
    from pygments.lexers.python import PythonLexer

    return PythonLexer(stripnl=False, ensurenl=False)


@cache
def _style(kind: Any) -> str:
    """The style of a kind of token: its own, or that of the nearest wider kind."""
    while kind is not None:
        style = _STYLES.get(str(kind))
        if style is not None:
            return style
        kind = kind.parent
    return ""


_STYLES = {
    "Token.Comment": "dim",
    "Token.Keyword": "magenta",
    "Token.Literal.Number": "cyan",
    "Token.Literal.String": "green",
    "Token.Literal.String.Interpol": "",
    "Token.Name.Builtin": "cyan",
    "Token.Name.Class": "blue",
    "Token.Name.Decorator": "yellow",
    "Token.Name.Exception": "cyan",
    "Token.Name.Function": "blue",
    "Token.Operator.Word": "magenta",
}
