"""Pickling by value, with dill: classes and functions that cannot be found by name in another process.

Differences from plain dill:
- A class that comes back to a process that knows it is that class, not a copy: every class sent by value has an id.
- Functions are made empty and completed later, so that they can refer to each other, and those of one module still
  share their globals. (dill cannot send recursive closures, and takes `sys.stdout` from all threads to read code.)
- Modules are sent by name. (dill sends the whole content of a project's modules, and overwrites theirs on loading.)
- What cannot be the same elsewhere is refused; dill would send an unlocked copy of a lock, a reopened file, a dead
  weak reference. In code, modules and locks are as an import would make them: references and new ones.
"""

from __future__ import annotations

import dis
import enum
import importlib
import os
import pickle
import sys
import threading
import types
from collections.abc import Callable
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary, WeakValueDictionary

import dill

from coflux.pickling import HandleTable, LoadingNames, reduce_parametrized
from coflux.unsendable import LOCK_TYPES, is_refused

__all__ = ["Pickler", "Unpickler"]

_DILL_CLASS_MAKERS = (dill._dill._create_type, dill._dill._create_namedtuple, types.new_class)

_class_by_id: WeakValueDictionary[str, type] = WeakValueDictionary()
_id_by_class: WeakKeyDictionary[type, str] = WeakKeyDictionary()


class Pickler(HandleTable, dill.Pickler):  # type: ignore[misc]  # dill has no types
    """Drop-in for `pickle.Pickler`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, recurse=True, byref=False, **options)
        self._code_depth = 0
        self._incomplete: list[FunctionType] = []
        self._namespaces: dict[int, dict[str, object]] = {}  # by the id of the globals that each stands for

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        is_code = isinstance(obj, (FunctionType, type))
        self._code_depth += is_code
        super().save(obj, save_persistent_id)
        if self._code_depth == 1 and is_code:
            # No class is being made any more: those that functions refer to are known.
            while self._incomplete:
                function = self._incomplete.pop()
                super().save_reduce(_complete_function, (function, *_function_parts(function)))
                self.write(pickle.POP)
        self._code_depth -= is_code

    def reducer_override(self, obj: Any) -> Any:
        if self._code_depth and isinstance(obj, ModuleType):
            return importlib.import_module, (obj.__name__,)
        if self._code_depth and isinstance(obj, LOCK_TYPES):
            return threading.RLock if "RLock" in type(obj).__name__ else threading.Lock, ()
        if is_refused(obj):
            raise TypeError(f"cannot pickle {type(obj).__name__!r} object")
        if isinstance(obj, type) and (recipe := reduce_parametrized(obj)) is not NotImplemented:
            return recipe
        if id(obj) in self._postproc:  # dill would warn, and send a name that means nothing elsewhere
            raise pickle.PicklingError(
                f"{obj.__qualname__} holds itself: move it to a module, and import it from there"
            )
        if isinstance(obj, FunctionType) and not _is_importable(obj):
            self._incomplete.append(obj)
            namespace = self._namespaces.setdefault(id(obj.__globals__), {"__name__": obj.__module__})
            return _make_function, (obj.__code__, namespace, obj.__name__, obj.__closure__)
        if isinstance(obj, CellType):
            return CellType, ()
        if isinstance(obj, enum.EnumMeta) and not _is_importable(obj):
            return _reduce_enum(obj)
        if isinstance(obj, (TypeVar, ParamSpec)) and obj.__module__ == "__main__":
            constraints = getattr(obj, "__constraints__", ())
            traits = {name: getattr(obj, f"__{name}__") for name in ("bound", "covariant", "contravariant")}
            return _make_type_parameter, (type(obj), obj.__name__, constraints, traits)
        return NotImplemented

    def save_reduce(self, func: Any, args: Any, *rest: Any, obj: Any = None, **options: Any) -> None:
        if func in _DILL_CLASS_MAKERS:
            func, args = _make_class, (_identify(obj), func, *args)
        super().save_reduce(func, args, *rest, obj=obj, **options)


class Unpickler(LoadingNames, dill.Unpickler):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        # Without `ignore`, dill makes the outermost object an instance of this process's class of that name.
        super().__init__(*args, ignore=True, **options)


def _identify(cls: type) -> str:
    identity = _id_by_class.get(cls)
    if identity is None:
        identity = os.urandom(16).hex()
        _id_by_class[cls] = identity
        _class_by_id[identity] = cls
    return identity


def _make_class(identity: str, make: Callable[..., type], *args: Any) -> type:
    """Return the class with this identity; make it if this process does not know it."""
    known = _class_by_id.get(identity)
    if known is not None:
        return known
    made = make(*args)
    _class_by_id[identity] = made
    _id_by_class[made] = identity
    return made


def _is_importable(code: type | FunctionType) -> bool:
    if code.__module__ == "__main__":
        return False
    found: object = sys.modules.get(code.__module__)
    for part in code.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is code


def _make_function(
    code: CodeType, namespace: dict[str, Any], name: str, closure: tuple[CellType, ...] | None
) -> FunctionType:
    return FunctionType(code, namespace, name, None, closure)


def _function_parts(function: FunctionType) -> tuple[object, ...]:
    """What `_complete_function` gives to the empty function."""
    names, attributes = _names_in(function.__code__)
    found = {name: function.__globals__[name] for name in names if name in function.__globals__}
    empty = CellType()  # equals a cell whose variable has no value yet
    cells = [(cell, cell.cell_contents) for cell in function.__closure__ or () if cell != empty]
    fields = {name: getattr(function, name) for name in _FUNCTION_FIELDS}
    return found, cells, fields, vars(function), _submodules(found, attributes)


_FUNCTION_FIELDS = ("__annotations__", "__defaults__", "__doc__", "__kwdefaults__", "__module__", "__qualname__")


def _complete_function(
    function: FunctionType,
    namespace: dict[str, object],
    cells: list[tuple[CellType, object]],
    fields: dict[str, object],
    attributes: dict[str, object],
    _submodules: list[ModuleType],  # here to be imported
) -> None:
    function.__globals__.update(namespace)
    for cell, content in cells:
        cell.cell_contents = content
    for name, value in fields.items():
        setattr(function, name, value)
    vars(function).update(attributes)


def _names_in(code: CodeType) -> tuple[set[str], set[str]]:
    """The names that code looks up in its globals, and all names in it, in nested functions and classes too."""
    looked_up = {step.argval for step in dis.get_instructions(code) if step.opname in _LOOKUPS}
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner_looked_up, inner_names = _names_in(constant)
            looked_up |= inner_looked_up
            names |= inner_names
    return looked_up, names


_LOOKUPS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_GLOBAL", "STORE_GLOBAL"})


def _submodules(namespace: dict[str, object], names: set[str]) -> list[ModuleType]:
    """The modules that code reaches as attributes of the packages it names, as in `concurrent.futures.wait`."""
    packages = tuple([f"{value.__name__}." for value in namespace.values() if isinstance(value, ModuleType)])
    return [
        module
        for name, module in list(sys.modules.items())
        if packages and name.startswith(packages) and name.rpartition(".")[2] in names
    ]


def _make_type_parameter(
    kind: Callable[..., Any], name: str, constraints: tuple[Any, ...], traits: dict[str, Any]
) -> Any:
    parameter = kind(name, *constraints, **traits)
    parameter.__module__ = "__main__"  # else it would be that of its maker, where it cannot be found by name
    return parameter


class _EmptyEnum(enum.Enum):
    """Has what any enumeration has."""


_ENUM_ATTRIBUTES = frozenset(vars(_EmptyEnum))


def _reduce_enum(cls: enum.EnumMeta) -> tuple[object, ...]:
    """Pickle's recipe for an enumeration: dill's general one cannot call the metaclass."""
    members: dict[str, Any] = dict(cls.__members__)
    values = {name: member.value for name, member in members.items()}
    attributes = {
        name: attribute
        for name, attribute in vars(cls).items()
        if name not in members and name not in _ENUM_ATTRIBUTES and not _is_enum_internal(name)
    }
    member_attributes = {
        name: {key: attribute for key, attribute in vars(member).items() if not key.startswith("_")}
        for name, member in members.items()
    }
    arguments = (type(cls), cls.__module__, cls.__name__, cls.__qualname__, cls.__bases__, values)
    state = (attributes, member_attributes)
    return _make_class, (_identify(cls), _make_enum, *arguments), state, None, None, _complete_enum


def _is_enum_internal(name: str) -> bool:
    """`_member_map_` and its like, which the metaclass makes; `_missing_` is the user's."""
    return name.startswith("_") and not name.startswith("__") and name.endswith("_") and name != "_missing_"


def _make_enum(
    metaclass: Any, module: str, name: str, qualname: str, bases: tuple[type, ...], values: dict[str, object]
) -> type:
    namespace = metaclass.__prepare__(name, bases)
    namespace.update({"__module__": module, "__qualname__": qualname, **values})
    return cast(type, metaclass(name, bases, namespace))


def _complete_enum(cls: Any, state: tuple[dict[str, object], dict[str, dict[str, object]]]) -> None:
    """Add what may refer to the class. On a class that this process knows, it changes nothing."""
    attributes, member_attributes = state
    for name, attribute in attributes.items():
        if name not in vars(cls):
            setattr(cls, name, attribute)
    for name, values in member_attributes.items():
        for key, value in values.items():
            vars(cls[name]).setdefault(key, value)
