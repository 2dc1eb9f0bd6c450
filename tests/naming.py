"""Names of parametrised tests: the same in every process that collects them."""

from __future__ import annotations

import re

__all__ = ["named"]


def named(value: object) -> str:
    """The value's repr, without addresses and with sets in order."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}({', '.join(sorted(map(named, value)))})"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
