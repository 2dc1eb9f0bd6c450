"""How the arguments of a call become one value a parameter, and how those become a call again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any, NamedTuple

__all__ = ["CallPlan", "compile_binder"]


class CallPlan(NamedTuple):
    """Where the values of a call go. Their order is the signature's: positional, `*args`, keyword-only, `**kwargs`."""

    positional: int
    has_args: bool
    keyword_only: tuple[str, ...]
    has_kwargs: bool

    @classmethod
    def of(cls, signature: Signature) -> CallPlan:
        names_of: dict[Any, list[str]] = {}
        for parameter in signature.parameters.values():
            names_of.setdefault(parameter.kind, []).append(parameter.name)
        return cls(
            positional=sum(
                len(names_of.get(kind, ())) for kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
            ),
            has_args=Parameter.VAR_POSITIONAL in names_of,
            keyword_only=tuple(names_of.get(Parameter.KEYWORD_ONLY, ())),
            has_kwargs=Parameter.VAR_KEYWORD in names_of,
        )

    @property
    def size(self) -> int:
        return self.positional + self.has_args + len(self.keyword_only) + self.has_kwargs

    def arguments(self, values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and the keyword arguments of the call with these values, one a parameter."""
        args = tuple(values[: self.positional])
        if self.has_args:
            args += tuple(values[self.positional])
        first = self.positional + self.has_args
        kwargs: dict[str, Any] = dict(zip(self.keyword_only, values[first:], strict=False))
        if self.has_kwargs:
            extra: Mapping[str, Any] = values[-1]
            kwargs.update(extra)
        return args, kwargs


def compile_binder(signature: Signature, name: str) -> Callable[..., tuple[object, ...]]:
    """A function with the signature's parameters and defaults that returns their values.

    The interpreter's own binding is the quickest there is, and its errors are those that a call of the plain function
    `name` would raise.
    """
    values = "".join(f"{parameter}, " for parameter in signature.parameters)
    namespace: dict[str, Any] = {}
    exec(f"def bind({_parameter_list(signature)}): return ({values})", {"__builtins__": {}}, namespace)
    bind = namespace["bind"]
    bind.__name__ = bind.__qualname__ = name
    defaults = {
        parameter.name: parameter.default
        for parameter in signature.parameters.values()
        if parameter.default is not Parameter.empty
    }
    keyword_only = CallPlan.of(signature).keyword_only
    bind.__kwdefaults__ = {key: value for key, value in defaults.items() if key in keyword_only}
    bind.__defaults__ = tuple(value for key, value in defaults.items() if key not in keyword_only)
    return bind  # type: ignore[no-any-return]


def _parameter_list(signature: Signature) -> str:
    """The parameters as source, every default `None`: the real ones are objects and are put in afterwards."""
    bare = [
        parameter.replace(
            annotation=Parameter.empty, default=Parameter.empty if parameter.default is Parameter.empty else None
        )
        for parameter in signature.parameters.values()
    ]
    return str(Signature(bare))[1:-1]
