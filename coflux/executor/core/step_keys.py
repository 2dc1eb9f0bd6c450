"""What makes a submission equal to another one: for memo, for the cache and for deferral."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blake3 import blake3

from coflux.executor.core.state import NO_KEYS, Execution, StepKeys
from coflux.executor.messages import ArgumentKey, TargetSpec
from coflux.task_options import keyed_parameters

__all__ = ["step_keys"]


def step_keys(
    spec: TargetSpec, keys: tuple[ArgumentKey | None, ...], run_memo: bool, submissions: Sequence[Execution] = ()
) -> StepKeys:
    """The keys of a step, from those of its arguments. An option is off where one of its arguments has no key.

    Args:
        spec: its target and options.
        keys: see `Submit.keys`.
        run_memo: the default of its run for memo.
        submissions: what `@n` references mean.
    """
    options = spec.options
    if not (run_memo or options.memo or options.cache or options.defer is not None):
        return NO_KEYS
    keys = _with_ids(keys, submissions)
    memo, cache, defer = keyed_parameters(options, spec.parameters, run_memo)
    cache_head: tuple[str, ...] = ()
    if options.cache is not None:
        namespace = options.cache.namespace
        cache_head = (f"{spec.module}:{spec.name}" if namespace is None else namespace, options.cache.version or "")
    return StepKeys(
        keys,
        _key(spec, (spec.module, spec.name), memo, keys),
        _key(spec, cache_head, cache, keys),
        _key(spec, (spec.module, spec.name), defer, keys),
    )


def _with_ids(keys: tuple[ArgumentKey | None, ...], submissions: Sequence[Execution]) -> tuple[ArgumentKey | None, ...]:
    """Replace `@n` references by the ids of what was submitted."""
    if not any(key is not None and key.references for key in keys):
        return keys
    return tuple(None if key is None else ArgumentKey(key.digest, _ids(key.references, submissions)) for key in keys)


def _ids(references: Iterable[str], submissions: Sequence[Execution]) -> tuple[str, ...]:
    return tuple(submissions[int(one[1:]) - 1].id if one.startswith("@") else one for one in references)


def _key(
    spec: TargetSpec, head: tuple[str, ...], names: tuple[str, ...] | None, keys: tuple[ArgumentKey | None, ...]
) -> bytes | None:
    if names is None:
        return None
    hasher = blake3()
    for text in head:
        _feed(hasher, text.encode())
    for name in names:
        position = spec.parameters.index(name)
        key = keys[position] if position < len(keys) else None
        if key is None:
            return None
        _feed(hasher, key.digest)
        for reference in key.references:
            _feed(hasher, reference.encode())
        _feed(hasher, b"")
    return hasher.digest(16)


def _feed(hasher: blake3, part: bytes) -> None:
    """With its length, so that no two lists of parts run together to the same bytes."""
    hasher.update(len(part).to_bytes(4, "big"))
    hasher.update(part)
