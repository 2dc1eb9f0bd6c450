"""Suspense: a workflow that waits for slow work without a process of its own.

    coflux run examples/patient_archive.py
    coflux run examples/patient_archive.py --directory ~/photos --archive ~/photos.tar.xz

Packing a directory takes long. Within `suspense`, an execution that waits longer than the timeout is suspended: its
process is free for others, and when the result is there, it is executed again from its first line. The child is
memoised, so the second attempt finds the archive that the first one had asked for. The wait may take days and outlives
the engine. `coflux runs inspect RUN` shows the attempts.
"""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

import coflux as cf


@dataclass
class Archive:
    path: Path
    files: int
    sha256: str


def without_caches(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith("__pycache__") else member


@cf.task(memo=True)
def pack(directory: Path, path: Path) -> Archive:
    cf.log_info("Packing {directory}", directory=directory)
    with tarfile.open(path, "w:xz", preset=9) as archive:
        archive.add(directory, arcname=directory.name, filter=without_caches)
        files = sum(member.isfile() for member in archive.getmembers())
    return Archive(path, files, hashlib.sha256(path.read_bytes()).hexdigest())


@cf.task()
def verify(archive: Archive, directory: Path) -> int:
    """Compare every packed file with its original; return the bytes compared."""
    total = 0
    with tarfile.open(archive.path) as packed:
        for member in packed:
            file = packed.extractfile(member) if member.isfile() else None
            if file is not None:
                content = file.read()
                if content != (directory.parent / member.name).read_bytes():
                    raise ValueError(f"{member.name} was packed differently")
                total += len(content)
    return total


@cf.workflow()
def patient_archive(
    directory: Path = Path(asyncio.__file__).parent, archive: Path | None = None, patience: float = 0.05
) -> dict[str, object]:
    path = archive or cf.project_dir() / f"{directory.name}.tar.xz"
    with cf.suspense(patience):
        packed = pack(directory, path)
    return {
        "archive": str(packed.path),
        "files": packed.files,
        "bytes": verify(packed, directory),
        "packed_bytes": path.stat().st_size,
        "sha256": packed.sha256,
    }
