"""What executions put into their environment: secrets among it are to be shown nowhere, like those that were there."""

from __future__ import annotations

import os
from typing import Any

from coflux import secret
from coflux.redaction import LEAST, is_secret_name

__all__ = ["watch_environment"]


def watch_environment() -> None:
    """From now on, what is assigned to `os.environ` in this process is hidden, if its name is a secret's.

    Such as by a file of variables that a task loads. `os.environ` calls `os.putenv` for each.
    """
    put = os.putenv

    def putenv(name: Any, value: Any, /) -> None:
        put(name, value)
        text = os.fsdecode(value)
        if len(text) >= LEAST and is_secret_name(os.fsdecode(name)):
            secret.hide(text)

    os.putenv = putenv
