"""What changes a target's fingerprint, and what does not."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coflux.executor.fingerprints import SIZE, fingerprint, remember
from coflux.executor.manifest import discovered_targets
from coflux.executor.messages import Returned
from coflux.target import duplicates, registry
from tests.engine.scripted import ScriptedWorker

Fingerprint = Callable[..., bytes]

HEADER = "import coflux as cf\n"


@pytest.fixture
def fingerprint_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fingerprint]:
    """The fingerprint of `flow/main`, in a project with these modules."""
    targets, pairs = dict(registry), list(duplicates)
    names: set[str] = set()
    count = 0

    def make(flow: str, **modules: str) -> bytes:
        nonlocal count
        count += 1
        directory = tmp_path / str(count)
        directory.mkdir()
        for name, source in {"flow": HEADER + textwrap.dedent(flow), **modules}.items():
            (directory / f"{name}.py").write_text(textwrap.dedent(source))
            names.add(name)
        for name in names:
            sys.modules.pop(name, None)
        with monkeypatch.context() as context:
            context.syspath_prepend(str(directory))
            importlib.import_module("flow")
        return fingerprint(registry["flow", "main"])

    yield make
    for name in names:
        sys.modules.pop(name, None)
    registry.clear()
    registry.update(targets)
    duplicates[:] = pairs


BASE = '''
LIMIT = 5

class Base:
    def area(self):
        return 1

class Shape(Base):
    sides = 4

    def __init__(self, size=1):
        self.size = size

    @property
    def double(self):
        return self.size * 2

    @classmethod
    def of(cls, size):
        return cls(size)

def deep(x):
    return x + 1

def helper(x, factor=2, *, options={"a": [1, 2]}):
    """Help."""
    return deep(x) * factor

def unused():
    return 1

@cf.task()
def child(x):
    return helper(x)

@cf.workflow()
def main(x=1):
    """Run."""
    total = x + 10
    for name in {"a", "b", "c"}:
        total += child(total)
    return (lambda y: Shape(y).double)(total)
'''

SAME = {
    "nothing": ("", ""),
    "lines": ("LIMIT = 5", "\n\n# a comment\n\nLIMIT = 5"),
    "a docstring": ('"""Run."""', '"""Run it, and more."""'),
    "a helper's docstring": ('"""Help."""', '"""Help out."""'),
    "what is not named": ("def unused():\n    return 1", "def unused():\n    return 2"),
    "annotations": ("def helper(x,", "def helper(x: int,"),
    "options of the target": ("@cf.workflow()", "@cf.workflow(retries=3)"),
    "formatting": ("return deep(x) * factor", "return (\n        deep(x)\n        * factor\n    )"),
}

DIFFERENT = {
    "a constant": ("x + 10", "x + 11"),
    "the type of a constant": ("x + 10", "x + 10.0"),
    "an operation": ("total = x + 10", "total = x - 10"),
    "a set among the constants": ('{"a", "b", "c"}', '{"a", "b", "d"}'),
    "a nested function": ("Shape(y).double", "Shape(y).double + 1"),
    "a default": ("def main(x=1)", "def main(x=2)"),
    "the type of a default": ("def main(x=1)", "def main(x=True)"),
    "a name": ("Shape(y).double", "Shape(y).size"),
    "a helper": ("deep(x) * factor", "deep(x) / factor"),
    "a helper's default": ("factor=2", "factor=3"),
    "a helper's keyword default": ("[1, 2]", "[1, 3]"),
    "a helper's helper": ("return x + 1", "return x + 2"),
    "a method": ("self.size = size", "self.size = -size"),
    "a property": ("self.size * 2", "self.size * 3"),
    "a class method": ("return cls(size)", "return cls(-size)"),
    "a base class": ("    def area(self):\n        return 1", "    def area(self):\n        return 2"),
    "the kind of a function": ("def deep(x):\n    return x + 1", "async def deep(x):\n    return x + 1"),
    "an exception that is handled": (
        "    return x + 1",
        "    try:\n        return x + 1\n    except KeyError:\n        return 0",
    ),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_does_not_count(fingerprint_of: Fingerprint, change: tuple[str, str]) -> None:
    changed = BASE.replace(*change) if change[0] else BASE
    assert fingerprint_of(changed) == fingerprint_of(BASE)


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT)
def test_what_counts(fingerprint_of: Fingerprint, change: tuple[str, str]) -> None:
    assert BASE.count(change[0]) == 1
    assert fingerprint_of(BASE.replace(*change)) != fingerprint_of(BASE)
    assert len(fingerprint_of(BASE)) == SIZE


HELPERS = "def load(x):\n    return {}\n\ndef other():\n    return {}\n"

WAYS = {
    "imported by name": "from helpers import load\n\n@cf.task()\ndef main(x):\n    return load(x)",
    "through the module": "import helpers\n\n@cf.task()\ndef main(x):\n    return helpers.load(x)",
    "through a module in a module": "import package\n\n@cf.task()\ndef main(x):\n    return package.helpers.load(x)",
    "in a closure": """
        from helpers import load

        def closing(fn):
            def main(x):
                return fn(x)
            return main

        main = cf.task()(closing(load))
    """,
    "wrapped": """
        import functools
        from helpers import load

        load = functools.lru_cache(load)

        @cf.task()
        def main(x):
            return load(x)
    """,
    "partly called": """
        import functools
        from helpers import load

        part = functools.partial(functools.wraps(load)(functools.partial(load)), 1)

        @cf.task()
        def main():
            return part()
    """,
    "as a default": "from helpers import load\n\n@cf.task()\ndef main(x, fn=load):\n    return fn(x)",
    "as a stub's body": """
        from helpers import load

        stub = cf.stub("elsewhere")(load)

        @cf.task()
        def main(x):
            return stub(x)
    """,
    "behind a decorator": """
        import contextlib
        from helpers import load

        @contextlib.contextmanager
        def loading(x):
            yield load(x)

        @cf.task()
        def main(x):
            with loading(x) as y:
                return y
    """,
    "as an attribute's class": """
        from helpers import load

        class Client:
            def get(self, x):
                return load(x)

        client = Client()

        @cf.task()
        def main(x):
            return client.get(x)
    """,
}


@pytest.mark.parametrize("flow", WAYS.values(), ids=WAYS)
def test_functions_of_the_project_count_wherever_they_are_found(fingerprint_of: Fingerprint, flow: str) -> None:
    def made(load: int, other: int) -> bytes:
        return fingerprint_of(flow, helpers=HELPERS.format(load, other), package="import helpers")

    assert made(1, 1) == made(1, 2)
    assert made(1, 1) != made(2, 1)


def test_functions_that_call_each_other_and_themselves(fingerprint_of: Fingerprint) -> None:
    flow = """
        def even(n):
            return n == 0 or odd(n - 1)

        def odd(n):
            return n != 0 and even(n - {})

        @cf.task()
        def main(n):
            return even(n) or main(n)
    """
    assert fingerprint_of(flow.format(1)) == fingerprint_of(flow.format(1))
    assert fingerprint_of(flow.format(1)) != fingerprint_of(flow.format(2))


def test_values_that_are_no_plain_data_count_by_their_class(fingerprint_of: Fingerprint) -> None:
    """Their `repr` has an address; and nothing of theirs may be called."""
    flow = """
        import enum

        class Hostile(type):
            def __getattribute__(cls, name):
                raise RuntimeError(name)
            def __hash__(cls):
                raise RuntimeError("hash")
            __eq__ = None

        class Odd(metaclass=Hostile):
            def __repr__(self):
                raise RuntimeError("repr")
            @property
            def __class__(self):
                raise RuntimeError("class")
            def method(self):
                return {method}

        class Color(enum.Enum):
            RED = 1
            BLUE = 2

        class Proxy:
            def __getattr__(self, name):
                raise RuntimeError(name)

        odd, proxy = Odd(), Proxy()
        endless = []
        endless.append(endless)

        @cf.task()
        def main(a=Odd(), b=Odd, c=Color.{color}, d=object(), e=endless, f={{3, "x", None}}, *, g=Proxy()):
            return odd, proxy, Odd
    """
    base = {"method": 1, "color": "RED"}
    assert fingerprint_of(flow.format(**base)) == fingerprint_of(flow.format(**base))
    for change in ({"method": 2}, {"color": "BLUE"}):
        assert fingerprint_of(flow.format(**base)) != fingerprint_of(flow.format(**base | change))


def test_big_defaults_count_in_part(fingerprint_of: Fingerprint) -> None:
    flow = """
        numbers = list(range(100_000))
        text = "x" * {}

        @cf.task()
        def main(a=numbers, b=set(numbers), c=text, d=[numbers] * 3):
            pass
    """
    assert fingerprint_of(flow.format(10_000_000)) == fingerprint_of(flow.format(10_000_000))
    assert fingerprint_of(flow.format(10_000_000)) != fingerprint_of(flow.format(10_000_001))


def test_a_module_with_very_many_functions_is_followed_only_so_far(fingerprint_of: Fingerprint) -> None:
    functions = "\n".join(f"def f{n}():\n    return f{n + 1}()" for n in range(3000))
    flow = functions + "\n\n@cf.task()\ndef main():\n    return f0()\n"
    assert fingerprint_of(flow) == fingerprint_of(flow)
    assert fingerprint_of(flow) != fingerprint_of(flow.replace("return f10()", "return -f10()"))


def test_what_several_targets_have_in_common_does_not_change_them(fingerprint_of: Fingerprint) -> None:
    """One by one, or together, in any order."""
    alone = fingerprint_of(BASE)
    assert fingerprint_of(BASE) == alone
    known = {name: fingerprint(registry["flow", name]) for name in ("child", "main")}
    fingerprint_of(BASE)
    remember([registry["flow", name] for name in ("child", "main")])
    assert {name: fingerprint(registry["flow", name]) for name in known} == known


def test_module_hosts_tell_it_with_their_targets(fingerprint_of: Fingerprint) -> None:
    main = fingerprint_of(BASE)
    told = {info.spec.name: info.fingerprint for info in discovered_targets() if info.spec.module == "flow"}
    assert told == {"main": main, "child": fingerprint(registry["flow", "child"])}


def test_what_executions_do_to_globals_does_not_count(fingerprint_of: Fingerprint, tmp_path: Path) -> None:
    source = """
        class Client:
            def get(self):
                return 1

        client = None

        @cf.task()
        def connect():
            global client
            client = Client()

        @cf.task()
        def main():
            return client
    """
    worker = ScriptedWorker(tmp_path / "worker", source)
    try:
        worker.execute("connect")
        worker.expect(Returned)
        worker.execute("main")
        assert worker.expect(Returned).fingerprint == fingerprint_of(source)
    finally:
        worker.close()


@pytest.mark.parametrize("seed", ["1", "2"])
def test_workers_tell_it_with_the_outcome_whatever_their_hash_seed(
    fingerprint_of: Fingerprint, tmp_path: Path, seed: str
) -> None:
    source = """
        class Shape:
            def size(self, kinds=frozenset({"a", "b", "c", "d"})):
                return kinds

        @cf.task()
        def main(x={"a", "b", "c", "d"}, y={name: 1 for name in {"a", "b", "c", "d"}}, z={(n,) * n for n in range(60)}):
            class Inner(Shape):
                def one(self):
                    self.a = self.b = self.c = self.d = 1
            return len({"a", "b", "c", "d"} & x) if x in ({"e", "f"}, {1}) else 1

        @cf.task()
        def failing():
            raise ValueError
    """
    worker = ScriptedWorker(tmp_path / f"worker{seed}", source, PYTHONHASHSEED=seed)
    try:
        told: list[Any] = []
        for name in ("main", "main", "failing", "missing"):
            worker.execute(name)
            told.append(worker.expect(Returned).fingerprint)
    finally:
        worker.close()
    here = fingerprint_of(source)
    assert told == [here, here, fingerprint(registry["flow", "failing"]), b""]


def test_a_target_of_no_module_is_in_nobodys_way(fingerprint_of: Fingerprint, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled for `exec` may know no module's name."""
    fingerprint_of(BASE)
    nowhere: Any = None, "nowhere"
    monkeypatch.setitem(registry, nowhere, next(iter(registry.values())))
    assert "flow" in {info.spec.module for info in discovered_targets()}
