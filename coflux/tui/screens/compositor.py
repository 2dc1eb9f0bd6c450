"""What is sent to the terminal when parts of lines have changed: these parts, and nothing else.

Textual sends all of a widget's line from its left edge to the change. A row that tells how long something has been
running changes at its right end, once a second.
"""

from __future__ import annotations

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, Compositor

__all__ = ["PreciseCompositor"]


class _PreciseUpdate(ChopsUpdate):
    def render_segments(self, console: Console) -> str:
        sequences: list[str] = []
        for y, first, last in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                start, stop = max(x, first), min(end, last)
                if strip is not None and start < stop:
                    sequences += [
                        Control.move_to(start, y).segment.text,
                        strip.crop(start - x, stop - x).render(console),
                    ]
        return "".join(sequences)


class PreciseCompositor(Compositor):
    def render_partial_update(self) -> ChopsUpdate | None:
        update = super().render_partial_update()
        return None if update is None else _PreciseUpdate(update.chops, update.spans, update.chop_ends)
