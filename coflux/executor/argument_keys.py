"""The keys of a submission's arguments: of those that memo, cache or defer look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coflux.executor.messages import ArgumentKey
from coflux.target import Target
from coflux.task_options import keyed_parameters

__all__ = ["KeyPlan", "argument_keys", "key_plan"]

KeyPlan = tuple[tuple[str, ...], ...]
"""For each parameter the options that need the key of its argument. Empty when none needs any."""


def key_plan(target: Target[..., object], *, run_memo: bool) -> KeyPlan:
    """What has to be keyed of the target's arguments, in a run whose steps have this default of memo."""
    keyed = keyed_parameters(target.options, target.parameters, run_memo)
    used = {option: names for option, names in keyed._asdict().items() if names}
    if not used:
        return ()
    return tuple(
        [tuple([option for option, names in used.items() if parameter in names]) for parameter in target.parameters]
    )


def argument_keys(
    plan: KeyPlan,
    target: Target[..., object],
    arguments: Sequence[object],
    refused: Callable[[str, tuple[str, ...], str], None] | None = None,
) -> tuple[ArgumentKey | None, ...]:
    """One key a parameter, `None` where none is needed or the argument cannot be keyed. Empty when none is needed.

    `refused` is told of an argument that cannot be keyed: the parameter, the options that need its key, the reason.
    """
    if not plan:
        return ()
    from coflux.keys import UnkeyableValue, key_of

    keys: list[ArgumentKey | None] = []
    for name, options, argument in zip(target.parameters, plan, arguments, strict=True):
        key = None
        if options:
            try:
                digest, handles = key_of(argument, name=name)
                key = ArgumentKey(digest, tuple([handle.reference().id for handle in handles]))
            except UnkeyableValue as error:
                if refused is not None:
                    refused(name, options, str(error))
        keys.append(key)
    return tuple(keys)
