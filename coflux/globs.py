"""Patterns for paths, in the one dialect that coflux has.

`*` stands for anything within a directory, `**` for any number of directories, `?` for one character, `[abc]` for one
of these, `{a,b}` for either. Names that begin with a dot are like all others; upper and lower case differ. A pattern
is about the whole path: `*.csv` matches `a.csv`, and only `**/*.csv` also `d/a.csv`.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["matching"]


def matching(paths: Iterable[str], pattern: str) -> list[str]:
    """Those of `paths` (with `/`, relative) that match `pattern`, in their order.

    Raises:
        TypeError: the pattern is no text.
        ValueError: it is none, such as one with more than a thousand alternatives in braces.
    """
    from wcmatch import glob  # here, since most processes match nothing

    if not isinstance(pattern, str):
        raise TypeError(f"match must be a str, not {pattern!r}")
    flags = glob.GLOBSTAR | glob.BRACE | glob.DOTGLOB | glob.FORCEUNIX
    try:
        return [path for path in paths if glob.globmatch(path, pattern, flags=flags)]
    except Exception as error:  # noqa: BLE001  # what it raises has no public name
        raise ValueError(f"match={pattern!r} is no pattern: {error}") from None
