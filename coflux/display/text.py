"""Text for people: what users' code wrote is shown, never interpreted."""

from __future__ import annotations

import re

__all__ = ["crop", "duration", "fit", "size", "visible", "visible_lines"]

# C0 except tab, DEL and C1; marks that reorder or hide text; lone surrogates, which no encoding takes.
_HIDDEN = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""`text` with its control characters spelled out: ESC becomes `^[`, a right-to-left override `\u202e`."""
    return text if text.isprintable() else _HIDDEN.sub(_spell, text)


def visible_lines(text: str) -> list[str]:
    """The lines of `text`, each with its control characters spelled out."""
    return [visible(line) for line in text.split("\n")]


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20 or code == 0x7F:
        return "^" + chr(code ^ 0x40)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def crop(text: str, length: int, ellipsis: str = "…") -> str:
    """`text` in at most `length` characters."""
    return text if len(text) <= length else text[: max(length - len(ellipsis), 0)] + ellipsis


def fit(text: str, cells: int, ellipsis: str = "…") -> str:
    """`text` in at most `cells` columns of a terminal."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, max(cells - len(ellipsis), 0)) + ellipsis[: max(cells, 0)]


def duration(seconds: float) -> str:
    """Seconds as people read them: `35ms`, `1.2s`, `4m02s`, `1h05m`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def size(count: int) -> str:
    """Bytes as people read them: `512 B`, `4.0 KiB`, `45 MiB`, `1.2 GiB`."""
    number, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 999.5:
            break
        number, unit = number / 1024, larger
    return f"{number:.1f} {unit}" if unit != "B" and number < 9.95 else f"{number:.0f} {unit}"
