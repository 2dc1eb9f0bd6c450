"""Fingerprints of targets: whether two executions ran the same code of the user's.

What counts is bytecode, with its names and constants, and default values: those of the target's function, and of the
functions and classes of the project that these name, in their globals and closures, and so on. Lines, files and
docstrings do not count. Each name of the code counts as a global, and as one of every module of the project that the
code names: `load` in `client.load()` leads to a function `load` here and in `client`. That asks for no analysis of what
the code does with its names, and errs on the safe side.

Code of the user's is never called: no `repr`, no `__hash__`, no metaclass. So a default value counts by its content if
it is plain data, and otherwise by its class alone. What else could be said of it, such as its `repr`, may hold an
address, or depend on the order that a set happens to have.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from types import CodeType, EllipsisType, FunctionType, MethodType, ModuleType, NoneType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from blake3 import blake3

from coflux.executor.importing import is_third_party
from coflux.target import Target

__all__ = ["SIZE", "fingerprint", "remember"]

SIZE = 16  # bytes
REACH = 2000  # functions and classes that are followed from one target
WRAPPERS = 10  # around a function that are looked through
DEFAULT_PARTS = 1000  # parts of a function's default values that count
DEFAULT_TEXT = 65536  # characters or bytes of one that count
DEPTH = 50  # containers in one another that are looked into; a default may hold itself

# By function; those of a module host are known to the workers that are forked from it.
_known: WeakKeyDictionary[Callable[..., object], bytes] = WeakKeyDictionary()


class _Part(NamedTuple):
    """What one function or class adds, and what it leads to."""

    content: bytes
    references: tuple[Any, ...]


# Classes and modules may have their own idea of what their attributes are.
_namespace_of = vars(type)["__dict__"].__get__
_bases_of = vars(type)["__bases__"].__get__
_name_of = vars(type)["__qualname__"].__get__
_contents_of = vars(ModuleType)["__dict__"].__get__

_Parts = dict[int, _Part]
"""By the id of a function or class that is alive meanwhile: a class may have no hash."""


def fingerprint(target: Target[..., object]) -> bytes:
    """The fingerprint of a target: `SIZE` bytes, the same in every process that has the same code."""
    known = _known.get(target.fn)
    if known is None:
        remember([target])
        known = _known[target.fn]
    return known


def remember(targets: Iterable[Target[..., object]]) -> None:
    """Make the fingerprints of several targets: what they have in common is looked at once."""
    parts: _Parts = {}
    for target in targets:
        if target.fn not in _known:
            _known[target.fn] = _of_all(target.fn, parts)


def _of_all(root: Callable[..., object], parts: _Parts) -> bytes:
    """The hash of all that can be reached, in the order in which it is."""
    items: list[Any] = [root]
    numbers = {id(root): 0}
    hasher = blake3()
    for item in items:  # grows while it is walked
        part = parts.get(id(item))
        if part is None:
            part = parts[id(item)] = _part_of_function(item) if type(item) is FunctionType else _part_of_class(item)
        links = []
        for reference in part.references:
            number = numbers.get(id(reference), -1)
            if number < 0 and len(items) < REACH:
                number = numbers[id(reference)] = len(items)
                items.append(reference)
            links.append(number)
        hasher.update(part.content + repr(links).encode())
    return hasher.digest(SIZE)


# -- functions --------------------------------------------------------------------------------------------------------

_SHAPE = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
_HAS_DOCSTRING = 0x4000000  # CO_HAS_DOCSTRING, which is new in Python 3.14
_ALWAYS_DOCSTRING = sys.version_info < (3, 14)  # or `None`, as the first constant of every function


def _part_of_function(function: FunctionType) -> _Part:
    code = function.__code__
    names: dict[str, None] = {}
    described = _describe_code(code, names)
    defaults = (function.__defaults__ or (), function.__kwdefaults__ or {})
    content = blake3(repr((described, _describe_value(defaults, [DEFAULT_PARTS]))).encode()).digest()
    values = [*_globals_of(function, names), *_cells_of(function), vars(function).get("__wrapped__")]
    values += [*defaults[0], *defaults[1].values()]
    return _Part(content, tuple([reference for value in values for reference in _followed(value)]))


def _describe_code(code: CodeType, names: dict[str, None]) -> tuple[Any, ...]:
    """What the code does, as plain data. Its names, and those of the code in it, are added to `names`."""
    names.update(dict.fromkeys(code.co_names))
    return (
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _SHAPE),
        (code.co_code, code.co_exceptiontable),
        (code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars),
        [
            _describe_code(constant, names) if type(constant) is CodeType else _describe_value(constant, None)
            for constant in _constants_of(code)
        ],
    )


def _constants_of(code: CodeType) -> Iterator[object]:
    """Its constants, without docstring and line."""
    is_function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
    start = 1 if is_function and (_ALWAYS_DOCSTRING or code.co_flags & _HAS_DOCSTRING) else 0
    # The body of a class, which from Python 3.13 on is given its line, and the names of its attributes in any order.
    is_class = "__firstlineno__" in code.co_names
    for constant in code.co_consts[start:]:
        if not is_class:
            yield constant
        elif type(constant) is tuple:
            yield frozenset(constant)
        elif type(constant) is not int or constant != code.co_firstlineno:
            yield constant


def _globals_of(function: FunctionType, names: Iterable[str]) -> Iterator[object]:
    """What these names mean in the function's module, and in the modules of the project that they lead to."""
    spaces = [function.__globals__]
    modules: set[int] = set()
    for space in spaces:  # grows while it is walked
        for name in names:
            value = space.get(name)
            if not issubclass(type(value), ModuleType):
                yield value
            elif id(value) not in modules:
                modules.add(id(value))
                contents = _contents_of(value)
                if _is_projects(contents.get("__file__")):
                    spaces.append(contents)


def _cells_of(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            pass  # the variable has no value yet


# -- classes ----------------------------------------------------------------------------------------------------------


def _part_of_class(cls: type) -> _Part:
    """Its methods, under their names, and its bases."""
    found = [(name, reference) for name, value in _namespace_of(cls).items() for reference in _followed(value)]
    found += [("", reference) for base in _bases_of(cls) for reference in _followed(base)]
    content = blake3(repr([name for name, _ in found]).encode()).digest()
    return _Part(content, tuple([reference for _, reference in found]))


def _is_projects_class(cls: type) -> bool:
    name = _namespace_of(cls).get("__module__")
    if not isinstance(name, str):
        return False
    if name == "__main__" or name not in sys.modules:
        return True  # it came by value
    module = sys.modules[name]
    return issubclass(type(module), ModuleType) and _is_projects(_contents_of(module).get("__file__"))


# -- what is followed -------------------------------------------------------------------------------------------------


def _followed(value: Any, wrappers: int = WRAPPERS) -> Iterator[Any]:
    """The functions and classes of the project that a value is, wraps, or is an instance of."""
    kind = type(value)
    inner: tuple[object, ...] = ()
    if kind is FunctionType:
        if _is_projects(value.__code__.co_filename):
            yield value
        else:
            inner = (vars(value).get("__wrapped__"),)
    elif issubclass(kind, type):
        if _is_projects_class(value):
            yield value
    elif id(kind) in _WRAPPERS:
        inner = _WRAPPERS[id(kind)](value)
    elif _is_projects_class(kind):
        yield kind
    for wrapped in inner if wrappers else ():
        yield from _followed(wrapped, wrappers - 1)


# By the id of their class, as below: to look a class up would be to ask for its hash.
_WRAPPERS: dict[int, Callable[[Any], tuple[object, ...]]] = {
    id(Target): lambda target: (target.fn,),
    id(MethodType): lambda method: (method.__func__,),
    id(staticmethod): lambda method: (method.__func__,),
    id(classmethod): lambda method: (method.__func__,),
    id(property): lambda attribute: (attribute.fget, attribute.fset, attribute.fdel),
    id(functools.cached_property): lambda attribute: (attribute.func,),
    id(functools.partial): lambda partial: (partial.func,),
    id(type(functools.lru_cache(len))): lambda cached: (cached.__wrapped__,),
}


def _is_projects(file: object) -> bool:
    """Whether a file is of the project. So is code that was made at run time, as of data classes."""
    return isinstance(file, str) and not _is_third_party(file)


_is_third_party = functools.lru_cache(maxsize=4096)(is_third_party)


# -- constants and defaults -------------------------------------------------------------------------------------------


_SCALARS = frozenset(map(id, (NoneType, EllipsisType, bool, float, complex)))
_CONTAINERS = frozenset(map(id, (tuple, list, dict, set, frozenset)))


def _describe_value(value: Any, left: list[int] | None, depth: int = DEPTH) -> Any:
    """The value as plain data, whose `repr` tells different values apart. `left` is how many parts may still count,
    `None`: all of a constant do."""
    kind = type(value)
    if id(kind) in _SCALARS:
        return value
    if kind is int:
        return hex(value)  # whatever its length
    if kind is str or kind is bytes:
        return value if left is None or len(value) <= DEFAULT_TEXT else (len(value), value[:DEFAULT_TEXT])
    name = f"{_namespace_of(kind).get('__module__')}.{_name_of(kind)}"
    if issubclass(kind, Enum):
        return name, object.__getattribute__(value, "_name_")
    if id(kind) not in _CONTAINERS:
        return (name,)
    if left is not None:
        left[0] -= len(value) + 1  # an empty one counts, too
    if depth == 0 or (left is not None and left[0] < 0):
        return name, len(value)
    parts = [_describe_value(part, left, depth - 1) for part in (value.items() if kind is dict else value)]
    if kind is list or kind is tuple:
        return name, parts
    # Without an order of its own. Which parts count must not depend on one either.
    return name, len(value) if left is not None and left[0] < 0 else sorted(parts, key=repr)
