"""What a process's imported modules hold: the targets, for people and for submissions."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress

from msgspec.structs import replace

from coflux import values
from coflux.encoded import Value
from coflux.executor.fingerprints import fingerprint, remember
from coflux.executor.importing import is_third_party
from coflux.executor.messages import ModuleError, ParameterInfo, Reexport, Shape, TargetInfo, TargetSpec
from coflux.target import Target, duplicates, registry
from coflux.values import BlobStore

__all__ = ["discovered_targets", "duplicate_errors", "encoded_arguments", "reexports", "spec_of", "submitted_spec"]


def spec_of(target: Target[..., object]) -> TargetSpec:
    """What a submission of the target would send, if it is one that can be imported by name."""
    return TargetSpec(
        target.module,
        target.name,
        target.type,
        target.parameters,
        target.options,
        run_memo=target.run_memo,
        stub=target.is_stub,
        overrides=tuple(sorted(target.overrides)),
    )


def submitted_spec(target: Target[..., object], blobs: BlobStore) -> TargetSpec:
    """As `spec_of`, with what only travels by value: the target itself, if need be, and a retry filter set by `with_*`.

    Raises `UnsendableValue`.
    """
    spec = spec_of(target)
    if target.by_value:
        spec = replace(spec, code=values.pack(target, blobs, name=target.name))
    if target.submitted_when is not None:
        spec = replace(spec, when=values.pack(target.submitted_when, blobs, name="when"))
    return spec


def encoded_arguments(target: Target[..., object], arguments: Sequence[object], blobs: BlobStore) -> tuple[Value, ...]:
    """One value a parameter. Raises `UnsendableValue` and `UnstoredValue`, which name the parameter."""
    try:
        return tuple(
            values.encode(argument, blobs, name=name)
            for name, argument in zip(target.parameters, arguments, strict=True)
        )
    except values.UnstoredValue as error:
        raise values.UnstoredValue(f"argument {error}") from None


def discovered_targets(asked_for: Collection[str] = ()) -> tuple[TargetInfo, ...]:
    """Every target that has a name in an imported module of the user's own, or in one that was asked for."""
    remember(registry.values())
    return tuple(
        _describe(target)
        for (module, _), target in sorted(registry.items(), key=_by_name)
        if not target.by_value and (module in asked_for or _is_users(module))
    )


def _by_name(entry: tuple[tuple[str, str], object]) -> tuple[str, str]:
    """Code that was compiled for `exec` may belong to no module: its targets have `None` there."""
    module, name = entry[0]
    return module or "", name


def reexports(files: Collection[str]) -> tuple[Reexport, ...]:
    """Targets that modules of `files` have from other modules, by the attributes that hold them."""
    found = []
    for home, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in files:
            for attribute, value in list(vars(module).items()):
                if type(value) is Target and value.module != home and registry.get((value.module, value.name)) is value:
                    found.append(Reexport(home, attribute, value.module, value.name))
    return tuple(found)


def _is_users(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and not is_third_party(file)


def _describe(target: Target[..., object]) -> TargetInfo:
    code = inspect.unwrap(target.fn).__code__
    shapes = _shapes(target) if target.parameters else {}
    parameters = tuple(
        _parameter(parameter, shapes.get(name, Shape("anything")))
        for name, parameter in target.signature.parameters.items()
    )
    doc = inspect.getdoc(target.fn) or ""
    return TargetInfo(spec_of(target), parameters, doc, code.co_filename, code.co_firstlineno, fingerprint(target))


def _shapes(target: Target[..., object]) -> dict[str, Shape]:
    """What fits each parameter that has an annotation."""
    if all(parameter.annotation is parameter.empty for parameter in target.signature.parameters.values()):
        return {}
    from coflux.executor.arguments import parameter_hints  # only now: it loads what reads all kinds of values
    from coflux.executor.conversion import Converters
    from coflux.executor.conversion.shapes import shape_of

    converters = Converters("/")
    shapes: dict[str, Shape] = {}
    for name, hint in parameter_hints(target).items():
        with suppress(Exception):  # classes of the user's may raise anything when they are looked at: anything fits
            shapes[name] = shape_of(converters.of(hint))
    return shapes


def _parameter(parameter: inspect.Parameter, shape: Shape) -> ParameterInfo:
    from coflux.previews import preview

    annotation = None
    if parameter.annotation is not parameter.empty:
        annotation = inspect.formatannotation(parameter.annotation)
        if isinstance(parameter.annotation, str):
            annotation = parameter.annotation
    default = None if parameter.default is parameter.empty else preview(parameter.default)
    return ParameterInfo(parameter.name, parameter.kind.name, annotation, default, shape)


def duplicate_errors() -> tuple[ModuleError, ...]:
    """Two functions under one name: only one of them could ever be run."""
    errors = []
    for first, second in duplicates:
        places = [inspect.unwrap(target.fn).__code__ for target in (first, second)]
        where = " and ".join(f"{code.co_filename}:{code.co_firstlineno}" for code in places)
        message = f"two targets are called {second.name!r}: {where}. Rename one, or give it another name="
        line = places[1].co_firstlineno
        errors.append(ModuleError(second.module, message, message + "\n", places[1].co_filename, line))
    return tuple(errors)
