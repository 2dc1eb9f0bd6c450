"""Routing: which worker groups may run a step, by its module and by what it requires.

A step's requirements are merged over its run's default, tag by tag; an empty list of values clears one. A group fits if

- it provides every tag that is required, with one of the values (`True`: with any value; `False`: not at all),
- each tag that it accepts is required, with one of the values,
- it hosts the module: it lists that, or nothing.

Of the groups that fit, those that list the module go before the others: somebody has said that it belongs there. Of
these, those go first that have the interpreter in which the run's target was found, and then those with that of the
default group. The first of what is left decides on the interpreter, and any group that has it may take the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from coflux.executor.core.state import Pool, Requirements, Route, Run, Step
from coflux.worker_groups import WorkerGroup

__all__ = ["Router", "interpreter_for", "matches", "requirements", "why_unroutable"]

ROUTES_KEPT = 4096  # requirements are made by code, so there may be any number of them


# -- what a step requires ---------------------------------------------------------------------------------------------


def requirements(step: Step) -> Requirements:
    """What a step requires, its run's default included."""
    run = step.run
    default = run.requires
    if default is None:
        default = _requirements_of_root(run)
    if step.parent is None:
        return default
    own = step.spec.options.requires
    if not default or not _has_default(run):
        return _cleared(own) if own else own
    return _cleared({**default, **own})


def _has_default(run: Run) -> bool:
    """Whether what its root requires is meant for all its steps."""
    assert run.root is not None
    return run.root.step.spec.type == "workflow" or run.options.requires is not None


def _requirements_of_root(run: Run) -> Requirements:
    """Find out what the root of a run requires, after those of the runs above it."""
    unsettled = []
    above: Run | None = run
    while above is not None and above.requires is None:
        unsettled.append(above)
        above = None if above.parent is None else above.parent.step.run
    for one in reversed(unsettled):
        assert one.root is not None
        own = one.root.step.spec.options.requires
        if one.parent is not None:
            own = {**requirements(one.parent.step), **own}
        elif one.options.requires is not None:
            own = one.options.requires
        one.requires = _cleared(own)
    assert run.requires is not None  # it was the last of them
    return run.requires


def _cleared(requires: Requirements) -> Requirements:
    """Without the tags that are required with no value: nobody asks for them any more."""
    return {tag: wanted for tag, wanted in requires.items() if wanted != []}


# -- which groups fit -------------------------------------------------------------------------------------------------


def matches(group: WorkerGroup, requires: Requirements) -> bool:
    """Whether a group takes steps that require this, whatever their module."""
    return _offers(group, requires) and _accepts(group, requires)


def _offers(group: WorkerGroup, requires: Requirements) -> bool:
    return all(_offers_tag(group, tag, wanted) for tag, wanted in requires.items())


def _offers_tag(group: WorkerGroup, tag: str, wanted: bool | list[str]) -> bool:
    """What a group accepts, it provides, unless it says what it provides of that tag."""
    if isinstance(wanted, bool):
        return wanted == (tag in group.provides or tag in group.accepts)
    provided = group.provides.get(tag)
    if provided is None:
        return tag in group.accepts and _accepts_values(group.accepts[tag], wanted)
    values = {"true"} if isinstance(provided, bool) else provided
    return not values.isdisjoint(wanted)


def _accepts(group: WorkerGroup, requires: Requirements) -> bool:
    return all(_accepts_values(accepted, requires.get(tag, False)) for tag, accepted in group.accepts.items())


def _accepts_values(accepted: frozenset[str] | bool, wanted: bool | list[str]) -> bool:
    if isinstance(wanted, bool) or isinstance(accepted, bool):
        return bool(wanted)
    return not accepted.isdisjoint(wanted)


def _hosting(groups: Iterable[WorkerGroup], module: str) -> list[WorkerGroup]:
    """Those of the groups that are for the module: that list it, or else those that host any."""
    hosting = [group for group in groups if group.hosts(module)]
    return [group for group in hosting if group.modules] or hosting


def _preferred(groups: Iterable[WorkerGroup], module: str, *interpreters: str) -> list[WorkerGroup]:
    """Those of the groups that go before the others, if they have one of these interpreters, in the order of these."""
    hosting = _hosting(groups, module)
    present = {group.python for group in hosting}
    chosen = next((python for python in interpreters if python in present), hosting[0].python if hosting else "")
    return [group for group in hosting if group.python == chosen]


def interpreter_for(groups: Sequence[WorkerGroup], module: str, home: str | None = None) -> str:
    """The interpreter in which a module is imported to see what is in it: "" for the client's own.

    Args:
        groups: all groups, the default one first.
        module: the module.
        home: the interpreter in which the target of the run was found; `None` if this is to find it.
    """
    default = groups[0].python
    preferred = _preferred(groups, module, default if home is None else home, default)
    return preferred[0].python if preferred else default


# -- where a step goes ------------------------------------------------------------------------------------------------


class Router:
    """Finds routes, each object for as long as the engine lives.

    Attributes:
        groups: all worker groups.
        only: the route of everything that requires nothing, if it is the same whatever the module; else `None`.
    """

    def __init__(self, pools: tuple[Pool, ...]) -> None:
        self.groups = tuple(pool.group for pool in pools)
        self._pools = pools
        self._known: dict[object, Route | None] = {}
        self._routes: dict[tuple[Pool, ...], Route] = {}
        [first, *others] = self.groups
        # With one group for everything, whatever requires nothing takes no time to route.
        self.only = self._interned(pools) if not others and not first.modules and not first.accepts else None

    def route(self, module: str, requires: Requirements, home: str) -> Route | None:
        """Where a step may run, in a run whose target was found in the interpreter `home`; `None` if nowhere."""
        key = module, home, _frozen(requires)
        if key not in self._known:
            if len(self._known) >= ROUTES_KEPT:
                self._known.clear()
            self._known[key] = self._find(module, requires, home)
        return self._known[key]

    def _find(self, module: str, requires: Requirements, home: str) -> Route | None:
        fitting = [group for group in self.groups if matches(group, requires)]
        names = {group.name for group in _preferred(fitting, module, home, self.groups[0].python)}
        return self._interned(tuple(pool for pool in self._pools if pool.group.name in names)) if names else None

    def _interned(self, pools: tuple[Pool, ...]) -> Route:
        return self._routes.setdefault(pools, Route(pools))


def _frozen(requires: Requirements) -> tuple[tuple[str, object], ...]:
    tags = sorted(requires)
    wanted = [requires[tag] for tag in tags]
    return tuple((tag, one if isinstance(one, bool) else tuple(one)) for tag, one in zip(tags, wanted, strict=True))


# -- why nowhere ------------------------------------------------------------------------------------------------------


def why_unroutable(groups: Sequence[WorkerGroup], module: str, requires: Requirements) -> str:
    """Why no group can ever run a step, in one line."""
    names = ", ".join(group.name for group in groups)
    hosting = [group for group in groups if group.hosts(module)]
    if not hosting:
        return f"no worker group hosts module {module} (groups: {names})"
    offering = [group for group in hosting if _offers(group, requires)]
    if offering:
        takers = ", ".join(f"{group.name} ({group.tags})" for group in offering)
        return f"the worker groups that could run it take only other steps: {takers}"
    missing = {
        tag: wanted for tag, wanted in requires.items() if not any(_offers_tag(group, tag, wanted) for group in hosting)
    }
    together = "" if missing else " together"
    where = "" if hosting == list(groups) else f", of those that host module {module},"
    return f"no worker group{where} {_in_words(missing or requires)}{together} (groups: {names})"


def _in_words(requires: Mapping[str, bool | list[str]]) -> str:
    """`provides gpu=A100|H100 and is without spot`"""
    wanted = [
        tag if isinstance(values, bool) else f"{tag}={'|'.join(values)}" for tag, values in requires.items() if values
    ]
    unwanted = [tag for tag, values in requires.items() if not values]
    parts = [f"provides {' and '.join(wanted)}"] if wanted else []
    parts += [f"is without {' and '.join(unwanted)}"] if unwanted else []
    return " and ".join(parts)
