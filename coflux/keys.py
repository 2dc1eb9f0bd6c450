"""Content keys of arguments: equal for equal values in every process, different for values that only look alike.

A value is taken apart into scalars and composites. The token of a scalar is its type and content; the token of a
composite is the hash of its type and of its parts' tokens, sorted where their order does not count. No token is the
beginning of another, so different values give the hash different input. Instances are taken apart as pickle would
rebuild them: what to call, with which arguments, and the state to set. Pickles themselves will not do: their bytes tell
which parts are the same object and in which order sets happened to be, hash seeds included.

What counts:
- The type, always: `1`, `True`, `1.0`, `numpy.int64(1)` and members of enumerations are all different.
- `-0.0` differs from `0.0`, and `Decimal("1.0")` from `Decimal("1.00")`: functions can tell them apart, and to compute
  once more than needed is better than the wrong result. Every NaN is the same, except in arrays, where bits count.
- The order of dicts and sets does not count; that of an `OrderedDict` does.
- Classes, functions and targets count by where they are found, not by what they do.
- A secret counts by the name of its variable, or by the id that the engine has given it: equal for equal texts, as long
  as the engine runs.
- A handle counts by its place and its execution, which only whoever knows its id can add: see `Key`.
"""

from __future__ import annotations

import struct
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from copyreg import dispatch_table
from enum import Enum, Flag
from functools import lru_cache
from importlib import import_module
from itertools import chain
from types import EllipsisType, FunctionType, NoneType, NotImplementedType
from typing import Any, NamedTuple, cast

from blake3 import blake3

from coflux.assets import Asset, AssetEntry
from coflux.canonical import Raw, decomposer, derived_names
from coflux.handles import Execution
from coflux.secret import Secret
from coflux.target import Target

__all__ = ["Key", "UnkeyableValue", "key_of"]

DEPTH_LIMIT = 50_000  # composites in one another; pickle, which has to send the value, takes far fewer

# Of protocols above 2, the reductions of the standard library differ only in leaving nothing out (`datetime.fold`).
_PROTOCOL = 4
_VERSION = b"coflux key 1:"  # part of every key: change it when the encoding changes
_FLUSHED_TOKENS = 4096  # are hashed at a time, so that the encoding of a long list is never there as a whole
_SHOWN_LEVELS = 50  # of the path in an error message
_KNOWN_CLASSES = 512  # how many are kept with what was found out about them
_REMEMBERED_HEIGHT = 3  # shared composites below this are hashed again, which costs less than to remember them all


class Key(NamedTuple):
    """What identifies a value.

    Attributes:
        digest: 32 bytes for the content, in which a handle is only the fact that one is in this place.
        references: the handles in the order of these places, one for each place. With their executions' ids, `digest`
            identifies the value for good.
    """

    digest: bytes
    references: tuple[Execution[Any], ...]


class UnkeyableValue(Exception):
    """A value has no content that another process could compare.

    Attributes:
        path: where in the value the culprit is, such as `value['a'][0].lock`.
        reason: what is there, and why it cannot be keyed.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def key_of(value: object, *, name: str = "value") -> Key:
    """The content key of `value`.

    Args:
        value: any object. Objects of classes that this module does not know are asked for their `__reduce_ex__`.
        name: what error messages call the value, such as a parameter's name.

    Raises:
        UnkeyableValue: something in the value is known by its identity alone (locks, open files, generators, local
            functions and classes), the value holds itself, or the user's own code raised.
    """
    return _Keyer(name).key(value)


class _Refused(Exception):
    """The value at hand cannot be keyed; the message says why."""


class _Unordered(NamedTuple):
    """Parts whose order does not count, in groups of `arity`."""

    parts: Iterable[object]
    arity: int


# -- scalars ----------------------------------------------------------------------------------------------------------

_pack_double = struct.Struct("<d").pack
_NAN = float("nan")


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return b"s%x:%b" % (len(encoded), encoded)


def _float(number: float) -> bytes:
    return b"f" + _pack_double(number if number == number else _NAN)  # noqa: PLR0124 (NaNs differ from themselves)


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    NoneType: lambda _: b"N",
    EllipsisType: lambda _: b"E",
    NotImplementedType: lambda _: b"X",
    bool: lambda truth: b"T" if truth else b"F",
    int: lambda number: b"i%x;" % number,
    float: _float,
    complex: lambda number: b"c" + _float(number.real) + _float(number.imag),
    str: _text,
}

_HANDLE = b"h"
_NAME = b"n"
_COMPOSITE = b"#"

_UNNAMED = frozenset({NoneType, EllipsisType, NotImplementedType})  # they claim to be in `builtins`
_MAIN = frozenset({"__main__", "__mp_main__"})
_MOVED_MODULES = {"pathlib._local": "pathlib", "__mp_main__": "__main__"}  # where other processes have them


@lru_cache(maxsize=_KNOWN_CLASSES)
def _named(item: type | FunctionType) -> bytes:
    """The token of a class or function: where it is found."""
    module, name = item.__module__, item.__qualname__
    if item in _UNNAMED:
        module = "types"
    elif "<" in name or (module not in _MAIN and _found(module, name) is not item):
        raise _Refused(f"{module}.{name} cannot be imported by this name; define it at the top level of a module")
    return _NAME + _text(_MOVED_MODULES.get(module, module)) + _text(name)


def _found(module: str | None, name: str) -> object:
    """What `name` means in a module, `None` where it means nothing. Imports the module, as pickle does, if need be."""
    if not module:
        return None
    try:
        found: object = sys.modules.get(module) or import_module(module)
    except ImportError:
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


# -- composites -------------------------------------------------------------------------------------------------------

_Opened = tuple[bytes, Iterable[object], int]
"""The type of a composite, its parts, and in groups of how many their order does not count (0: it counts)."""


def _memoryview(view: memoryview) -> _Opened:
    raw = view.tobytes() if not view.c_contiguous or view.nbytes == 0 else view.cast("B")
    return b"memoryview:", (view.format, view.shape, Raw((raw,))), 0


def _enum(member: Enum) -> _Opened:
    # Combined flags have no name of their own.
    return b"enum:", (type(member), member._value_ if isinstance(member, Flag) else member._name_), 0


def _secret(secret: Secret) -> _Opened:
    try:
        return b"secret:", (secret.reference().id,), 0
    except RuntimeError as error:
        raise _Refused(str(error)) from None


def _target(target: Target[..., Any]) -> _Opened:
    if not target.is_stub and "<" in target.fn.__qualname__:
        raise _Refused(f"{target.module}.{target.fn.__qualname__} is not at the top level of a module")
    # `submitted_when` is the filter that goes with this copy; the declared one goes with the name.
    identity = target.module, target.name, target.is_stub, target.options, target.submitted_when
    return b"target:", identity, 0


_OPENERS: dict[type, Callable[[Any], _Opened]] = {
    list: lambda items: (b"list:", items, 0),
    tuple: lambda items: (b"tuple:", items, 0),
    dict: lambda items: (b"dict:", chain.from_iterable(items.items()), 2),
    set: lambda items: (b"set:", items, 1),
    frozenset: lambda items: (b"frozenset:", items, 1),
    bytes: lambda data: (b"bytes:", (Raw((data,)),), 0),
    bytearray: lambda data: (b"bytearray:", (Raw((data,)),), 0),
    memoryview: _memoryview,
    Asset: lambda asset: (b"asset:", (asset.id,), 0),
    AssetEntry: lambda entry: (b"asset entry:", (entry.path, entry.blob, entry.mode), 0),
    Secret: _secret,
    Target: _target,
    _Unordered: lambda unordered: (b"unordered:", *unordered),
}


@lru_cache(maxsize=_KNOWN_CLASSES)
def _opener(cls: type) -> Callable[[Any], _Opened]:
    """What takes instances of `cls` apart."""
    if cls in _OPENERS:
        return _OPENERS[cls]
    if issubclass(cls, Enum):
        return _enum
    decompose = decomposer(cls)
    if decompose is not None:
        return lambda value: (b"library:", decompose(value), 0)
    derived = derived_names(cls)
    return lambda value: _reduced(value, derived)


def _reduced(value: object, derived: frozenset[str]) -> _Opened:
    """The parts of which pickle would rebuild `value`."""
    if type(value) is object:
        raise _Refused("all that it has is its identity")
    reduce = dispatch_table.get(type(value))
    reduction = value.__reduce_ex__(_PROTOCOL) if reduce is None else reduce(value)
    if isinstance(reduction, str):
        return b"global:", _global(value, reduction), 0
    function, arguments, state, items, entries, set_state = [*reduction, None, None, None, None][:6]
    if isinstance(value, (set, frozenset)) and type(value).__reduce__ in _SET_REDUCES:
        arguments = (_Unordered(arguments[0], 1),)
    if entries is not None:
        ordered = isinstance(value, OrderedDict)
        entries = list(entries) if ordered else _Unordered(chain.from_iterable(entries), 2)
    state = _without(state, derived) if derived else state
    return b"object:", (function, arguments, state, None if items is None else list(items), entries, set_state), 0


_SET_REDUCES = (set.__reduce__, frozenset.__reduce__)  # they list the elements in the order that these happen to have


def _without(state: Any, names: frozenset[str]) -> Any:
    """`state`, which is a dict or a dict and the slots, without some attributes."""
    if isinstance(state, tuple) and len(state) == 2:
        return _without(state[0], names), state[1]
    if isinstance(state, dict):
        return {name: value for name, value in state.items() if name not in names}
    return state


def _global(value: object, name: str) -> tuple[str, str]:
    """Module and name of an object that pickles as a global variable."""
    home = type(value).__module__
    for module in (getattr(value, "__module__", None), home, home.partition(".")[0]):
        if _found(module, name) is value:
            return str(module), name
    raise _Refused(f"it goes by the name {name}, but is not found by this name in {home}")


# -- hashing ----------------------------------------------------------------------------------------------------------


class _Composite:
    """A value whose parts are being hashed."""

    __slots__ = ("_arity", "_hasher", "_references", "height", "parts", "tokens", "value")

    def __init__(self, value: object, tag: bytes, parts: Iterable[object], arity: int) -> None:
        self.value = value
        self.parts = iter(parts)
        self.tokens = [tag]
        self.height = 1
        self._arity = arity
        self._hasher: blake3 | None = None
        self._references: list[tuple[int, tuple[Execution[Any], ...]]] = []  # with the number of the token

    def add(self, token: bytes, references: tuple[Execution[Any], ...], height: int) -> None:
        """Add a part that is no scalar."""
        if references:
            self._references.append((len(self.tokens), references))
        self.tokens.append(token)
        self.height = max(self.height, height + 1)

    def flush(self) -> None:
        """Hash the tokens so far, unless they have to be sorted."""
        if self._arity == 0:
            self._feed(b"".join(self.tokens))
            self.tokens.clear()

    def stream(self, raw: Raw) -> None:
        self.flush()
        for chunk in raw.chunks:
            self._feed(chunk)

    def close(self) -> tuple[bytes, tuple[Execution[Any], ...]]:
        """The digest, and the handles in the order of their places."""
        order: Iterable[tuple[Execution[Any], ...]] = [handles for _, handles in self._references]
        if self._arity:
            order = self._sort()
        content = b"".join(self.tokens)
        if self._hasher is None:
            return blake3(content).digest(), tuple(chain.from_iterable(order))
        self._hasher.update(content)
        return self._hasher.digest(), tuple(chain.from_iterable(order))

    def _feed(self, content: Any) -> None:
        if self._hasher is None:
            self._hasher = blake3()
        self._hasher.update(content)

    def _sort(self) -> Iterable[tuple[Execution[Any], ...]]:
        """Sort the tokens in their groups, and return the handles in the same order."""
        tag, *tokens = self.tokens
        arity = self._arity
        groups = tokens if arity == 1 else [b"".join(group) for group in zip(*[iter(tokens)] * arity, strict=True)]
        if not self._references:
            groups.sort()
            self.tokens = [tag, *groups]
            return ()
        handles: list[tuple[Execution[Any], ...]] = [()] * len(groups)
        for number, references in self._references:
            handles[(number - 1) // arity] += references
        # Where only the executions differ, so that a set of handles has an order, their ids decide.
        count = Counter(groups)
        pairs = sorted(
            zip(groups, handles, strict=True),
            key=lambda pair: (pair[0], [handle.id for handle in pair[1]] if count[pair[0]] > 1 else []),
        )
        self.tokens = [tag, *[group for group, _ in pairs]]
        return [references for _, references in pairs]


class _Keyer:
    """Makes one key. Works through a stack of its own: nesting costs no recursion."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack: list[_Composite] = []
        self._open: set[int] = set()  # ids of the values on the stack
        # By id; an entry keeps the value, and so its id. Without this, a value whose parts share their parts, and these
        # theirs, would take exponential time.
        self._done: dict[int, tuple[object, bytes, tuple[Execution[Any], ...], int]] = {}
        self._culprit: tuple[object, ...] = ()  # what could not be added to the stack

    def key(self, value: object) -> Key:
        self._stack = stack = [_Composite(None, _VERSION, (value,), 0)]
        try:
            while True:
                composite = stack[-1]
                if not self._fill(composite):
                    continue
                digest, references = composite.close()
                if len(stack) == 1:
                    return Key(digest, references)
                stack.pop()
                self._close(composite, _COMPOSITE + digest, references)
        except MemoryError:
            raise
        except Exception as error:  # the user's own code takes part
            raise self._explained(error) from error

    def _fill(self, composite: _Composite) -> bool:
        """Add parts until one needs a composite of its own; whether all of them are in."""
        tokens = composite.tokens
        for part in composite.parts:
            encode = _SCALARS.get(type(part))
            if encode is not None:
                tokens.append(encode(part))
            elif self._starts_composite(part):
                return False
            if len(tokens) >= _FLUSHED_TOKENS:
                composite.flush()
        return True

    def _starts_composite(self, part: object) -> bool:
        """Add a part that is no scalar to the composite on top, or put its own composite there."""
        top, key, cls = self._stack[-1], id(part), type(part)
        try:
            # By type: what an object says that it is, a proxy for example, does not count.
            if issubclass(cls, (type, FunctionType)):
                top.tokens.append(_named(cast("type | FunctionType", part)))
            elif issubclass(cls, Execution):
                top.add(_HANDLE, (cast("Execution[Any]", part),), 0)
            elif cls is Raw:
                top.stream(cast(Raw, part))
            elif key in self._done:
                top.add(*self._done[key][1:])
            else:
                self._push(part, cls)
                return True
        except Exception:
            self._culprit = (part,)
            raise
        return False

    def _push(self, value: object, cls: type) -> None:
        if id(value) in self._open:
            raise _Refused("it holds itself")
        if len(self._stack) > DEPTH_LIMIT:
            raise _Refused(f"it is nested more than {DEPTH_LIMIT:,} levels deep")
        self._stack.append(_Composite(value, *_opener(cls)(value)))
        self._open.add(id(value))

    def _close(self, composite: _Composite, token: bytes, references: tuple[Execution[Any], ...]) -> None:
        value = composite.value
        self._open.remove(id(value))
        self._stack[-1].add(token, references, composite.height)
        if composite.height >= _REMEMBERED_HEIGHT:
            self._done[id(value)] = value, token, references, composite.height

    def _explained(self, error: Exception) -> UnkeyableValue:
        from coflux.previews import message_of, type_name
        from coflux.unsendable import path_of

        values: Sequence[object] = [*[composite.value for composite in self._stack[1:]], *self._culprit]
        why = f": {error}" if isinstance(error, _Refused) else f" ({type(error).__name__}: {message_of(error)})"
        if len(values) > DEPTH_LIMIT:
            values = values[:1]
        path = path_of(values[:_SHOWN_LEVELS], self._name) + ("…" if len(values) > _SHOWN_LEVELS else "")
        return UnkeyableValue(path, f"{type_name(values[-1])} cannot be keyed{why}")
