"""What is typed into a form: whether it fits, the call that it makes, and the command line that does the same.

A parameter is given a text, `None`, or nothing: then it has its default. What fits, the engine decides; as the shapes
of parameters say what it would decide, nearly all that is wrong is told while one types.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from coflux.encoded import Value, json_of, preview_of
from coflux.executor.conversion import Converter, Misfit
from coflux.executor.conversion.shapes import converter_of
from coflux.executor.messages import ParameterInfo, Shape, TargetSpec
from coflux.previews import PREVIEW_LIMIT, preview

__all__ = ["NOTHING", "Call", "Given", "Slot", "call_of", "command_line", "problems_of"]


class Given(NamedTuple):
    """What a parameter is given: a text, `None` if `none` is set, or nothing."""

    text: str | None = None
    none: bool = False


NOTHING = Given()


class Call(NamedTuple):
    """Arguments as the engine takes them: the words of a command line, and a JSON document for what has no word."""

    words: tuple[str, ...] = ()
    document: bytes | None = None


class Slot:
    """The place of one parameter in a form. Relative paths are taken from `directory`."""

    def __init__(self, parameter: ParameterInfo, directory: str) -> None:
        self.parameter = parameter
        self._directory = directory
        self.variadic = parameter.kind.startswith("VAR_")
        self.required = parameter.default is None and not self.variadic

    @cached_property
    def converter(self) -> Converter:
        return converter_of(self.parameter.shape, self._directory)

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def label(self) -> str:
        return {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(self.parameter.kind, "") + self.parameter.name

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """All that fits, where that is not much."""
        return () if self.variadic else _choices(self.parameter.shape)

    @cached_property
    def takes_none(self) -> bool:
        return not self.variadic and self._takes(self.converter.json, None)

    @cached_property
    def takes_empty(self) -> bool:
        """Whether the empty text means something."""
        return not self.variadic and not self.choices and self._takes(self.converter.word, "")

    @property
    def is_secret(self) -> bool:
        return _mentions_secret(self.parameter.shape)

    @property
    def is_path(self) -> bool:
        return Shape("scalar", "PurePath") in (self.parameter.shape, *self.parameter.shape.parts)

    def meanings(self) -> tuple[Given, ...]:
        """What a field in which nothing is typed may mean; the first unless something else is chosen."""
        default = self.parameter.default
        none = (Given(none=True),) if self.takes_none and default != "None" else ()
        return (NOTHING, *none, *((Given(""),) if self.takes_empty and default != "''" else ()))

    def _takes(self, read: Callable[[Any], object], value: object) -> bool:
        try:
            read(value)
        except Misfit:
            return False
        return True

    # -- is it right -------------------------------------------------------------------------------------------------

    def problem(self, given: Given) -> str:
        """What is wrong with it, "" for nothing."""
        if given.none:
            return ""
        if given.text is None:
            return "needed" if self.required else ""
        try:
            for path, text in self._texts(given.text):
                try:
                    self.converter.word(text)
                except Misfit as misfit:
                    where = path + misfit.path
                    return f"{where}: {misfit.reason}" if where else misfit.reason
        except ValueError as error:
            return str(error)
        return ""

    def _texts(self, text: str) -> list[tuple[str, str]]:
        """Each value that is in the text, and where. Raises `ValueError`, which says what is wrong."""
        if not self.variadic:
            return [("", text)]
        try:
            words = shlex.split(text)
        except ValueError:
            raise ValueError("a quote is not closed") from None
        if self.parameter.kind == "VAR_POSITIONAL":
            return [(f"[{index}]", word) for index, word in enumerate(words)]
        pairs = [word.partition("=") for word in words]
        for name, sign, _ in pairs:
            if not sign or not name.isidentifier():
                raise ValueError(f"{preview(name)} is not of the form NAME=VALUE")
        return [(name, value) for name, _, value in pairs]

    # -- what was given once -----------------------------------------------------------------------------------------

    def given_by(self, value: Value) -> Given | str:
        """What gives exactly this value; in words why nothing does, where that is so."""
        if self.is_secret:
            return "secrets are not stored"
        shown = preview_of(value)
        complete = len(shown) < PREVIEW_LIMIT and "<" not in shown
        if shown == self.parameter.default and complete:
            return NOTHING
        if value.references:
            return "it refers to what runs have made"
        text = json_of(value) if value.blob is None else None
        if text is None:
            return "too big" if value.blob is not None else f"{shown[:40]} has no exact text"
        try:
            found = self._given_for(json.loads(text))
        except (Misfit, ValueError, LookupError, RecursionError):
            return f"{shown[:40]} has no exact text"
        if found is None:
            return f"{shown[:40]} has no exact text"
        given, meant = found
        is_json = value.format == "json"
        exact = _same(meant, json.loads(value.data)) if is_json else complete and preview(meant) == shown
        return given if exact else f"{shown[:40]} has no exact text"

    def _given_for(self, plain: Any) -> tuple[Given, object] | None:
        """What to give for a JSON value, and what it means; `None` if nothing means the same."""
        if self.parameter.kind == "VAR_POSITIONAL":
            found = [self._text_for(item) for item in plain]
            texts = shlex.join(text for text, _ in found)
            return (Given(texts) if found else NOTHING), tuple(meant for _, meant in found)
        if self.parameter.kind == "VAR_KEYWORD":
            named = {name: self._text_for(item) for name, item in plain.items()}
            texts = shlex.join(f"{name}={text}" for name, (text, _) in named.items())
            return (Given(texts) if named else NOTHING), {name: meant for name, (_, meant) in named.items()}
        if plain is None and self.takes_none:
            return Given(none=True), None
        text, meant = self._text_for(plain)
        return Given(text), meant

    def _text_for(self, plain: Any) -> tuple[str, object]:
        """A text that means what a JSON value does, and what that is. Raises `LookupError`, `Misfit`."""
        meant = self.converter.json(plain)
        written = json.dumps(plain, ensure_ascii=False)
        for text in (*_choices(self.parameter.shape), *([plain] if isinstance(plain, str) else []), written):
            try:
                if _same(self.converter.word(text), meant):
                    return text, meant
            except Misfit:
                continue
        raise LookupError(plain)


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and repr(one) == repr(other)


def _choices(shape: Shape) -> tuple[str, ...]:
    match shape:
        case Shape("scalar", "bool"):
            return "true", "false"
        case Shape("literal" | "enumeration"):
            return shape.names
        case Shape("union"):
            some = [part for part in shape.parts if part != Shape("scalar", "NoneType")]
            return _choices(some[0]) if len(some) == 1 else ()
    return ()


def _mentions_secret(shape: Shape) -> bool:
    return shape == Shape("scalar", "Secret") or any(map(_mentions_secret, shape.parts))


def problems_of(slots: Sequence[Slot], entries: Sequence[Given]) -> list[str]:
    """What is wrong with each, "" for nothing."""
    problems = [slot.problem(given) for slot, given in zip(slots, entries, strict=True)]
    rest = next((at for at, slot in enumerate(slots) if slot.parameter.kind == "VAR_POSITIONAL"), None)
    if rest is not None and entries[rest].text:
        for at in range(rest):  # the words for `*rest` would go where nothing is
            if entries[at] == NOTHING and not problems[at]:
                problems[at] = f"needed, as {slots[rest].label} is given"
    return problems


def call_of(slots: Sequence[Slot], entries: Sequence[Given]) -> Call:
    """The call that the entries make, which have no problems."""
    names = {slot.name for slot in slots}
    words: list[str] = []
    rest: list[str] = []
    document: dict[str, None] = {}
    for slot, given in zip(slots, entries, strict=True):
        if given.none and slot.problem(Given("none")) == "" and slot.converter.word("none") is None:
            words += ["--" + _option(slot.name), "none"]
        elif given.none:
            document[slot.name] = None
        elif given.text is None:
            continue
        elif slot.parameter.kind == "VAR_POSITIONAL":
            rest += shlex.split(given.text)
        elif slot.parameter.kind == "VAR_KEYWORD":
            words += shlex.split(given.text)
        else:
            words += _named(slot, given.text, names)
    if rest:
        words += ["--", *rest]
    return Call(tuple(words), json.dumps(document).encode() if document else None)


def _named(slot: Slot, text: str, names: set[str]) -> list[str]:
    option = _option(slot.name)
    if slot.choices == ("true", "false"):  # `--flag yes` would be two words
        opposite = f"--no-{option}" if f"no_{slot.name}" not in names else f"--{option}=false"
        return [{"true": f"--{option}", "false": opposite}.get(text, f"--{option}={text}")]
    return [f"--{option}={text}"] if not text or text.startswith("-") else [f"--{option}", text]


def _option(name: str) -> str:
    return name if name.startswith("_") else name.replace("_", "-")


def command_line(spec: TargetSpec, file: str, call: Call, directory: str) -> str:
    """The command that starts the same run from `directory`. `file` is "" for a target of a module by name."""
    place = spec.module
    if file:
        inside = os.path.commonpath([file, directory]) == directory
        place = os.path.relpath(file, directory) if inside else file
    if call.document is None:
        return shlex.join(["coflux", "run", f"{place}/{spec.name}", *call.words])
    run = shlex.join(["coflux", "run", "--args", "-", f"{place}/{spec.name}", *call.words])
    return f"echo {shlex.quote(call.document.decode())} | {run}"
