"""Cache and memo: the most complicated functions of a package, where only changed files are looked at again.

    coflux run examples/cached_pipeline.py
    coflux run examples/cached_pipeline.py --directory ~/code/project
    coflux why RUN:STEP

Run it twice: the second run measures nothing, all results come from the cache. Change a file and run it again: that one
is measured. The key is the content of a file, not its path, so one that was moved is still known. `coflux why` tells of
any step whether it was executed and why: where its result came from, or what differs from the last time.

Memo is about a single run: many files import the same modules, and each of these is looked up once.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import coflux as cf

BRANCHES = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.BoolOp, ast.comprehension, ast.match_case)


@dataclass(frozen=True)
class Measured:
    """The functions of a file with the number of their branches, and the top-level modules that the file imports."""

    functions: dict[str, int]
    imports: frozenset[str]


@cf.task(cache=cf.Cache(params="digest"))
def measure(path: Path, digest: str) -> Measured:
    cf.log_info("Measuring {path}", path=path)
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return Measured(
        {node.name: sum(isinstance(inner, BRANCHES) for inner in ast.walk(node)) for node in functions},
        frozenset(module.partition(".")[0] for module in modules),
    )


@cf.task(memo=True)
def origin(module: str) -> str:
    if module in sys.stdlib_module_names:
        return "standard library"
    return "missing" if find_spec(module) is None else "installed"


@cf.workflow()
def cached_pipeline(directory: Path = Path(ast.__file__).parent / "asyncio", top: int = 5) -> dict[str, object]:
    with cf.group("files"):
        measuring = {
            path: measure.submit(path, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in sorted(directory.rglob("*.py"))
        }
    branches: Counter[str] = Counter()
    lookups = []
    for path, handle in measuring.items():
        measured = handle.result()
        branches.update({f"{path.name}:{name}": number for name, number in measured.functions.items()})
        with cf.group("imports"):
            lookups += [origin.submit(module) for module in sorted(measured.imports)]
    return {
        "files": len(measuring),
        "functions": len(branches),
        "most_complicated": dict(branches.most_common(top)),
        "imports": dict(Counter(lookup.result() for lookup in lookups)),
    }
