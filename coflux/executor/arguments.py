"""Which word of a command line is meant for which parameter of a target.

After TARGET come positional words, `--name value`, `--name=value` and `name=value`; `--flag` and `--no-flag` where the
parameter is a `bool`; after `--` every word is positional. Where the target has `**kwargs`, any identifier is a name,
also beside `*args`: a word for those that looks like `name=value` goes after `--`.

A JSON document may give arguments too: an object by name, an array by position. What a word means is for the annotation
to say: see `conversion`.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import BoundArguments, Parameter
from typing import Any, Optional

from coflux.executor.conversion import BOOLEANS, Converter, Converters, Misfit, parse_json, resolved
from coflux.previews import one_line, preview
from coflux.target import Target

__all__ = ["ArgumentError", "bind", "parameter_hints"]

# A positional word all the same: -5, -.5, -1,-2, -1h30m, -inf.
_NEGATIVE = re.compile(r"-(\.?\d|(inf|infinity|nan)$)", re.IGNORECASE)
USAGE_LIMIT = 300  # characters of a signature in a message
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class ArgumentError(Exception):
    """Arguments do not fit the target. The message is one line, which names the parameter and shows what is wrong."""


def bind(target: Target[..., Any], words: Sequence[str], document: bytes | None, directory: str) -> tuple[object, ...]:
    """The values that a command line gives to a target, one a parameter, defaults applied.

    Args:
        target: what is called.
        words: all words after TARGET.
        document: a JSON object of arguments by name, or an array of them by position. The words fill what it leaves.
        directory: where relative paths start.

    Raises:
        ArgumentError: an argument is wrong, missing, unknown, one too many or given twice.
    """
    call = _Call(target, Converters(directory))
    if document is not None:
        call.give_document(document)
    call.give_words(words)
    bound = BoundArguments(target.signature, call.values())
    bound.apply_defaults()
    return target.bind(bound.args, bound.kwargs)


@dataclass(frozen=True, slots=True)
class _Given:
    """What is there for a parameter: words (several, of a repeated option), or else a value of the document."""

    words: tuple[str, ...]
    value: Any = None

    def shown(self) -> str:
        return ", ".join(preview(word) for word in self.words) or preview(self.value)

    def read(self, converter: Converter, name: str) -> Any:
        try:
            return converter.words(self.words) if self.words else converter.json(self.value)
        except Misfit as misfit:
            raise ArgumentError(one_line(f"argument {name}{misfit.path}: {misfit.reason}")) from None


class _Call:
    """A call of `target` that is being put together."""

    def __init__(self, target: Target[..., Any], converters: Converters) -> None:
        self._target = target
        self._parameters = target.signature.parameters
        self._named = {name for name, parameter in self._parameters.items() if parameter.kind not in _VARIADIC}
        self._kinds = {parameter.kind: name for name, parameter in self._parameters.items()}
        self._converters = {name: converters.of(hint) for name, hint in parameter_hints(target).items()}
        self._given: dict[str, _Given] = {}  # by name, those for `**kwargs` too
        self._options: set[str] = set()  # those of them that came as options
        self._rest: list[_Given] = []  # for `*args`

    def give_document(self, document: bytes) -> None:
        try:
            arguments = parse_json(document.decode(json.detect_encoding(document)))
        except (Misfit, UnicodeDecodeError) as error:
            raise ArgumentError(one_line(f"--args: {error}")) from None
        if isinstance(arguments, dict):
            for name, value in arguments.items():
                self._check_name(name, name)
                self._give(name, _Given((), value))
        elif isinstance(arguments, list):
            for value in arguments:
                self._give_next(_Given((), value))
        else:
            raise ArgumentError("--args: a JSON object (arguments by name) or array (by position) is needed")

    def give_words(self, words: Sequence[str]) -> None:
        positional: list[str] = []
        rest = deque(words)
        while rest:
            word = rest.popleft()
            name, is_assignment, value = word.partition("=")
            if word == "--":
                positional += rest
                rest.clear()
            elif word.startswith("--"):
                self._give_option(word, rest)
            elif is_assignment and self._takes_name(name):
                self._give_named(name, value)
            elif word.startswith("-") and word != "-" and not _NEGATIVE.match(word):
                raise self._error(f"unknown option {preview(word)} (put -- before words that start with -)")
            else:
                positional.append(word)
        # Last, so that they go where nothing is.
        for word in positional:
            self._give_next(_Given((word,)))

    def values(self) -> OrderedDict[str, Any]:
        """The value of every parameter that was given."""
        values: OrderedDict[str, Any] = OrderedDict()
        for name, parameter in self._parameters.items():
            converter = self._converters[name]
            if parameter.kind is Parameter.VAR_POSITIONAL:
                values[name] = tuple(given.read(converter, f"{name}[{i}]") for i, given in enumerate(self._rest))
            elif parameter.kind is Parameter.VAR_KEYWORD:
                extra = [(key, given) for key, given in self._given.items() if key not in self._named]
                values[name] = {key: given.read(converter, key) for key, given in extra}
            elif name in self._given:
                values[name] = self._given[name].read(converter, name)
            elif parameter.default is Parameter.empty:
                raise self._error(f"argument {name} is missing")
        return values

    # -- giving ------------------------------------------------------------------------------------------------------

    def _give_option(self, word: str, rest: deque[str]) -> None:
        """`--name=value`, or `--name` with the value as the next word, or `--flag`, `--no-flag`."""
        spelled, has_value, value = word.partition("=")
        name = spelled[2:].replace("-", "_")
        if name not in self._named and name.startswith("no_") and self._is_flag(name[3:]):
            if has_value:
                raise ArgumentError(f"{one_line(spelled)} takes no value, but was given {preview(value)}")
            self._give_named(name[3:], "false")
            return
        self._check_name(name, spelled)
        if has_value:
            self._give_named(name, value)
        elif self._converter(name).is_flag:
            # 1 and 0 are more likely the next argument.
            is_next = bool(rest) and rest[0].casefold() in BOOLEANS and not rest[0].isdigit()
            self._give_named(name, rest.popleft() if is_next else "true")
        elif not rest or rest[0].startswith("--"):
            hint = f" ({spelled}=VALUE if it starts with --)" if rest else ""
            raise ArgumentError(one_line(f"{spelled} needs a value: {self._converter(name).expected}{hint}"))
        else:
            self._give_named(name, rest.popleft())

    def _give_named(self, name: str, word: str) -> None:
        """A value by name. One that takes many may come again."""
        if name in self._options and self._converter(name).takes_many:
            self._given[name] = _Given((*self._given[name].words, word))
            return
        self._give(name, _Given((word,)))
        self._options.add(name)

    def _give_next(self, given: _Given) -> None:
        """A value by position: for the first parameter that has none yet."""
        for name, parameter in self._parameters.items():
            if parameter.kind in _BY_POSITION and name not in self._given:
                self._given[name] = given
                return
        if Parameter.VAR_POSITIONAL not in self._kinds:
            raise self._error(f"{given.shown()} is one argument too many")
        self._rest.append(given)

    def _give(self, name: str, given: _Given) -> None:
        if name in self._given:
            both = f"{self._given[name].shown()} and {given.shown()}"
            raise ArgumentError(one_line(f"argument {name} is given twice: {both}"))
        self._given[name] = given

    # -- names -------------------------------------------------------------------------------------------------------

    def _converter(self, name: str) -> Converter:
        """That of a parameter, or of `**kwargs` for any other name."""
        return self._converters[name if name in self._named else self._kinds[Parameter.VAR_KEYWORD]]

    def _takes_name(self, name: str) -> bool:
        """Whether `name=value` is an argument by name."""
        return name in self._named or (Parameter.VAR_KEYWORD in self._kinds and name.isidentifier())

    def _is_flag(self, name: str) -> bool:
        return name in self._named and self._converters[name].is_flag

    def _check_name(self, name: str, spelled: str) -> None:
        if name in self._named or Parameter.VAR_KEYWORD in self._kinds:
            return
        near = difflib.get_close_matches(name[:100], self._named, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise self._error(f"there is no argument {preview(spelled)}{hint}")

    def _error(self, problem: str) -> ArgumentError:
        return ArgumentError(one_line(f"{problem}: {_usage(self._target)}"))


def parameter_hints(target: Target[..., Any]) -> dict[str, Any]:
    """The resolved annotation of each parameter, `Any` without one."""
    parameters = target.signature.parameters
    annotations = {
        name: Any if parameter.annotation is Parameter.empty else parameter.annotation
        for name, parameter in parameters.items()
    }
    hints = resolved(annotations, inspect.unwrap(target.fn).__globals__)
    for name, hint in hints.items():
        if parameters[name].default is None and hint is not Any:
            hints[name] = Optional[hint]  # noqa: UP045 (`|` does not take every hint); `x: int = None` is usual
    return hints


class _Bare(str):
    """Text that is shown in a signature without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _usage(target: Target[..., Any]) -> str:
    """`load(path: Path, limit: int = 10)`."""
    shown = []
    for parameter in target.signature.parameters.values():
        annotation, default = parameter.annotation, parameter.default
        if annotation is not Parameter.empty:
            text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation, target.module)
            annotation = _Bare(text)
        if default is not Parameter.empty:
            default = _Bare(preview(default))
        shown.append(parameter.replace(annotation=annotation, default=default))
    usage = f"{target.name}{inspect.Signature(shown)}"
    return usage if len(usage) <= USAGE_LIMIT else f"{usage[: USAGE_LIMIT - 1]}…"
