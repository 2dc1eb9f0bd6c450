"""Starting the engine before the command line is even parsed, so that it boots while this process loads its libraries.

Only where it is certain to be needed, and only as far as nothing depends on options: `coflux run … TARGET …` without
`--data-dir`. If the command line turns out to be wrong, the engine finds its client gone, and leaves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

__all__ = ["start_engine"]


def start_engine(arguments: Sequence[str]) -> None:
    """Start the project's engine if these arguments will need one and none listens."""
    if not _will_run(arguments):
        return
    from coflux.executor import launch
    from coflux.project import ConfigError, find_project

    try:
        project = find_project()
        if not os.path.exists(project.socket_path):
            launch.launch_ahead(project)
    except (ConfigError, launch.EngineError):
        pass  # the command will meet the same, and say it


def _will_run(arguments: Sequence[str]) -> bool:
    if not arguments or arguments[0] != "run" or "COMP_WORDS" in os.environ:
        return False
    words = arguments[1:]
    if any(word in ("-h", "--help") or word.startswith("--data-dir") for word in words):
        return False
    return any("/" in word or word.endswith(".py") for word in words)
