"""What there is to know about a row of the tree, as lines to be read. Pure: it paints what `Details` holds."""

from coflux.tui.details.page import Fold, Line, Link, Page, ToAttempt, ToRun, ToStep
from coflux.tui.details.step import describe

__all__ = ["Fold", "Line", "Link", "Page", "ToAttempt", "ToRun", "ToStep", "describe"]
