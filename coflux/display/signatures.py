"""Signatures of targets, as they are defined."""

from __future__ import annotations

from collections.abc import Iterator

from coflux.executor.messages import ParameterInfo, TargetInfo

__all__ = ["parameters_of", "signature"]


def signature(target: TargetInfo) -> str:
    """The target as its definition reads: `load(path: Path, /, *rest, limit: int = 10)`."""
    return f"{target.spec.name}({', '.join(parameters_of(target))})"


def parameters_of(target: TargetInfo, *, brief: bool = False) -> Iterator[str]:
    """The parts of the signature, `/` and `*` among them; without annotations if `brief`."""
    previous = ""
    for parameter in target.parameters:
        if previous == "POSITIONAL_ONLY" != parameter.kind:
            yield "/"
        if parameter.kind == "KEYWORD_ONLY" and previous not in ("KEYWORD_ONLY", "VAR_POSITIONAL"):
            yield "*"
        yield _parameter(parameter, brief)
        previous = parameter.kind
    if previous == "POSITIONAL_ONLY":
        yield "/"


def _parameter(parameter: ParameterInfo, brief: bool) -> str:
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind, "")
    annotation = "" if parameter.annotation is None or brief else f": {parameter.annotation}"
    if parameter.default is None:
        return f"{stars}{parameter.name}{annotation}"
    equals = " = " if annotation else "="
    return f"{parameter.name}{annotation}{equals}{parameter.default}"
