"""Colours: the themes, and what the style names of painting (`red bold`, `dim`, `reverse`) mean in each of them.

Painting tells a state by a word, the same for lists (rich's styles) and for single lines (Textual's content). What the
word looks like is said here alone. In the terminal's own themes words mean the terminal's colours, so a person who has
arranged those sees them; `dim` and `reverse` are attributes there, and shades of the theme elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from rich.style import Style as RichStyle
from textual.color import Color
from textual.css.stylesheet import Stylesheet
from textual.style import Style
from textual.theme import BUILTIN_THEMES, Theme

__all__ = ["DARK", "TERMINAL_DARK", "THEMES", "Sheet", "cursor_style", "has_colors", "style_of"]

DARK = "coflux-dark"
TERMINAL_DARK = "ansi-dark"


class Ink(NamedTuple):
    """The colours of a theme that words stand for."""

    red: str
    green: str
    yellow: str
    blue: str
    magenta: str
    cyan: str
    dim: str
    foreground: str
    background: str


DIM = 0.90
"""How much of a colour is left when it is dim, the rest being background: as little as can still be read well."""

# Greys are nearly without colour, so that terminals with 256 of them show a grey, not the nearest blue.
_DARK = Ink(
    red="#ff8f8f",
    green="#86cf94",
    yellow="#e6bb68",
    blue="#86b3f5",
    magenta="#d3a1ee",
    cyan="#66cbd8",
    dim="#98a2b1",
    foreground="#dce1e8",
    background="#14171c",
)
_LIGHT = Ink(
    red="#a81e1e",
    green="#17632f",
    yellow="#6e4a00",
    blue="#1a50a8",
    magenta="#7a2c98",
    cyan="#045b69",
    dim="#525a65",
    foreground="#20252b",
    background="#fbfbf9",
)
_INKS = {DARK: _DARK, "coflux-light": _LIGHT}


def _theme(name: str, ink: Ink, surface: str, panel: str, cursor: str, blurred: str, rule: str, *, dark: bool) -> Theme:
    """A theme of these colours: `cursor` is behind the line with the cursor, `blurred` where the view has no focus;
    `rule` is that of lines between things."""
    return Theme(
        name=name,
        dark=dark,
        primary=ink.blue,
        secondary=ink.cyan,
        accent=ink.magenta,
        warning=ink.yellow,
        error=ink.red,
        success=ink.green,
        foreground=ink.foreground,
        background=ink.background,
        surface=surface,
        panel=panel,
        variables={
            "block-cursor-background": cursor,
            "block-cursor-foreground": ink.foreground,
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": blurred,
            "block-cursor-blurred-foreground": ink.foreground,
            "block-hover-background": blurred,
            "input-cursor-background": ink.foreground,
            "input-cursor-foreground": ink.background,
            "input-selection-background": cursor,
            "screen-selection-background": cursor,
            "border": ink.blue,
            "border-blurred": rule,
            "scrollbar": blurred,
            "scrollbar-hover": cursor,
            "scrollbar-active": cursor,
            "scrollbar-background": ink.background,
            "scrollbar-background-hover": ink.background,
            "scrollbar-background-active": ink.background,
            "scrollbar-corner-color": ink.background,
        },
    )


THEMES: Mapping[str, Theme] = {
    DARK: _theme(DARK, _DARK, "#1a1d22", "#1f2329", "#28364b", "#2a2e35", "#353b45", dark=True),
    "coflux-light": _theme("coflux-light", _LIGHT, "#f5f5f2", "#eeeeea", "#d8e6f8", "#e4e7ea", "#ccd1d6", dark=False),
    TERMINAL_DARK: BUILTIN_THEMES[TERMINAL_DARK],
    "ansi-light": BUILTIN_THEMES["ansi-light"],
}
"""Those that can be chosen, by name; the last two have the terminal's own colours."""


_COLORS = {"red", "green", "yellow", "blue", "magenta", "cyan"}
_ATTRIBUTES = {"bold", "dim", "italic", "underline", "reverse", "strike"}


@lru_cache(maxsize=1024)
def style_of(theme: str, name: str) -> Style | None:
    """What a name of painting means in a theme: words for a colour and attributes; `None` for a name with any other
    word, which is Textual's to understand."""
    words = set(name.split())
    colors = words & _COLORS
    if len(colors) > 1 or not words <= _COLORS | _ATTRIBUTES:
        return None
    color = next(iter(colors), None)
    ink = _INKS.get(theme)
    plain = ink is None  # `dim` and `reverse` stay attributes
    background: Color | None = None
    if ink is None:
        foreground = None if color is None else Color.parse(f"ansi_{color}")
    else:
        behind = Color.parse(ink.background)
        foreground = None if color is None else Color.parse(getattr(ink, color))
        if "dim" in words:
            foreground = Color.parse(ink.dim) if foreground is None else behind.blend(foreground, DIM)
        if "reverse" in words:
            background, foreground = foreground or Color.parse(ink.blue), behind
    return Style(
        background,
        foreground,
        bold="bold" in words or None,
        dim=(plain and "dim" in words) or None,
        italic="italic" in words or None,
        underline="underline" in words or None,
        reverse=(plain and "reverse" in words) or None,
        strike="strike" in words or None,
    )


def cursor_style(theme: Theme, *, focused: bool) -> RichStyle:
    """What is laid below a line with the cursor. A background keeps the line's colours; the terminal's own themes know
    none that all of its colours can be read on."""
    if theme.ansi:
        return RichStyle(reverse=True) if focused else RichStyle(underline=True)
    place = "block-cursor-background" if focused else "block-cursor-blurred-background"
    return RichStyle(bgcolor=theme.variables[place])


class Sheet(Stylesheet):
    """The app's stylesheet. It is asked what the style of a piece of content means."""

    def __init__(self, theme: Callable[[], str], variables: dict[str, str]) -> None:
        """`theme` tells the name of the one that is chosen."""
        super().__init__(variables=variables)
        self._theme = theme

    def parse_style(self, style_text: str | Style) -> Style:
        if isinstance(style_text, str):
            return style_of(self._theme(), style_text) or super().parse_style(style_text)
        return style_text


def has_colors(environment: Mapping[str, str]) -> bool:
    """Whether the terminal tells more than the sixteen colours apart, whose meaning themes would be reduced to, and
    colours are wanted."""
    if environment.get("NO_COLOR"):
        return False
    return (
        bool(environment.get("COLORTERM"))
        or "256" in environment.get("TERM", "")
        or "direct" in environment.get("TERM", "")
    )
