"""A recurrent task: wait until a file has arrived, that is, has not changed for a while; then work with it.

    coflux run examples/download_watcher.py --path ~/Downloads/image.iso
    coflux run examples/download_watcher.py

`arrived` looks once, and returns `None` while the file is not complete: `recurrent` has it executed again, after
`delay`. In between it takes neither a process nor a slot, and a restart of the engine makes no difference, so this may
well wait for days. Without a path, a slow download is played: a task that writes a file piece by piece.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import coflux as cf


@cf.task(recurrent=True, delay=0.1)
def arrived(path: Path, quiet: float) -> int | None:
    """The size of the file, once it has not changed for `quiet` seconds."""
    if not path.exists():
        return None
    status = path.stat()
    if time.time() - status.st_mtime < quiet:
        cf.log_debug("Still growing", size=status.st_size)
        return None
    return status.st_size


@cf.task()
def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cf.task()
def download(path: Path, pieces: int = 10) -> None:
    with path.open("wb", buffering=0) as file:
        for _ in range(pieces):
            file.write(os.urandom(100_000))
            time.sleep(0.05)


@cf.workflow()
def download_watcher(path: Path | None = None, quiet: float = 0.5) -> dict[str, object]:
    if path is None:
        path = Path.cwd() / "played.bin"
        download.submit(path)
    return {"path": str(path), "size": arrived(path, quiet), "sha256": checksum(path)}
