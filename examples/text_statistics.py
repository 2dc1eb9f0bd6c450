"""Statistics of a tree of Python files, by default the standard library of the Python that runs this.

    coflux run examples/text_statistics.py
    coflux run examples/text_statistics.py --directory ~/code --top 20

The workflow fans out: one task per batch of files, all running at once, each result merged when it is in. A batch is
big enough that the work outweighs the hand-over, and small enough that the progress is visible.
"""

from __future__ import annotations

import keyword
import re
import sysconfig
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import coflux as cf

STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
# Strings and comments are matched to be skipped; what is left of names is in the group.
TOKENS = re.compile(
    r""""{3}.*?"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*|([^\W\d]\w*)""",
    re.DOTALL,
)
SKIPPED = {"site-packages", "dist-packages", "__pycache__"}


@dataclass
class Statistics:
    files: int = 0
    lines: int = 0
    words: int = 0
    identifiers: Counter[str] = field(default_factory=Counter)

    def add(self, other: Statistics) -> None:
        self.files += other.files
        self.lines += other.lines
        self.words += other.words
        self.identifiers.update(other.identifiers)


@cf.task
def find_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*.py") if not SKIPPED.intersection(path.parts))


@cf.task
def count(files: list[Path]) -> Statistics:
    total = Statistics()
    for path in files:
        text = path.read_text(errors="replace")  # the standard library has files in wrong encodings, for its tests
        names = (name for name in TOKENS.findall(text) if name and not keyword.iskeyword(name))
        total.add(Statistics(1, text.count("\n"), len(text.split()), Counter(names)))
    return total


@cf.workflow
def text_statistics(directory: Path = STANDARD_LIBRARY, top: int = 10, files_per_task: int = 100) -> dict[str, object]:
    files = find_files(directory)
    starts = range(0, len(files), files_per_task)
    with cf.group("batches"):
        batches = [count.submit(files[start : start + files_per_task]) for start in starts]
    total = Statistics()
    for batch in batches:
        total.add(batch.result())
        cf.log_info("Counted {done} of {files} files", done=total.files, files=len(files))
    return {
        "directory": str(directory),
        "files": total.files,
        "lines": total.lines,
        "words": total.words,
        "identifiers": len(total.identifiers),
        "most_common": dict(total.identifiers.most_common(top)),
    }
