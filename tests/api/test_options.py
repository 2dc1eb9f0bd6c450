"""Every option: what it means, and how a wrong one is refused."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import numpy as np
import pytest

import coflux as cf
from coflux.task_options import CacheOptions, RetryOptions, TaskOptions
from tests.naming import named


def load(user, page=1, *, full=False):  # type: ignore[no-untyped-def]
    return [user, page, full]


LINE = load.__code__.co_firstlineno


def options_of(**given: Any) -> TaskOptions:
    return cf.task(**given)(load).options


MEANINGS: list[tuple[str, Any, Any]] = [
    ("wait", False, ()),
    ("wait", True, ("user", "page", "full")),
    ("wait", "user", ("user",)),
    ("wait", " user ,page ", ("user", "page")),
    ("wait", ["page", "user", "page"], ("page", "user")),
    ("wait", {"user", "page"}, ("page", "user")),
    ("wait", (name for name in ["user"]), ("user",)),
    ("wait", [], ()),
    ("cache", False, None),
    ("cache", 0, None),
    ("cache", timedelta(0), None),
    ("cache", True, CacheOptions()),
    ("cache", 60, CacheOptions(max_age=60.0)),
    ("cache", timedelta(milliseconds=1.5), CacheOptions(max_age=0.0015)),
    ("cache", cf.Cache(0), CacheOptions(max_age=0.0)),
    ("cache", cf.Cache(None, "user", "n", "v2"), CacheOptions(None, ("user",), "n", "v2")),
    ("cache", cf.Cache(params=[]), CacheOptions(params=())),
    ("retries", 0, None),
    ("retries", False, None),
    ("retries", True, RetryOptions(None, 1.0, 60.0)),
    ("retries", 3, RetryOptions(3, 0.0, 0.0)),
    ("retries", np.int64(3), RetryOptions(3, 0.0, 0.0)),
    ("retries", cf.Retries(), RetryOptions(None, 1.0, 60.0)),
    ("retries", cf.Retries(0), None),
    ("retries", cf.Retries(2, (0.5, timedelta(minutes=1))), RetryOptions(2, 0.5, 60.0)),
    ("recurrent", True, True),
    ("defer", False, None),
    ("defer", True, ("user", "page", "full")),
    ("defer", cf.Defer(), ("user", "page", "full")),
    ("defer", cf.Defer("page"), ("page",)),
    ("delay", 0.25, 0.25),
    ("delay", timedelta(seconds=2), 2.0),
    ("memo", True, True),
    ("memo", False, False),
    ("memo", ["user"], ("user",)),
    ("memo", [], None),
    ("requires", None, {}),
    ("requires", {"gpu": "A100"}, {"gpu": ["A100"]}),
    ("requires", {"gpu": ["A100", "H100"], "fast": True, "slow": False}, None),
    ("requires", {"gpu": []}, {"gpu": []}),
    ("timeout", 0, 0.0),
    ("timeout", timedelta(days=36500), 36500 * 86400.0),
]


@pytest.mark.parametrize(("option", "value", "meaning"), MEANINGS, ids=lambda value: named(value)[:50])
def test_meaning(option: str, value: Any, meaning: Any) -> None:
    expected = value if option == "requires" and meaning is None else meaning
    assert getattr(options_of(**{option: value}), option) == expected


def test_defaults() -> None:
    assert options_of() == TaskOptions()


REFUSALS: list[tuple[str, Any, str]] = [
    ("wait", "nope", "ValueError: wait names 'nope'"),
    ("wait", "user,", "ValueError: wait names ''"),
    ("wait", 3, "TypeError: wait must be parameter names, not 3"),
    ("wait", [1], "TypeError: wait must be parameter names (str), not 1"),
    ("cache", -1, "ValueError: cache must not be negative, but is -1"),
    ("cache", math.nan, "ValueError: cache must be a finite number of seconds, not nan"),
    ("cache", "60", "TypeError: cache must be a bool, a number of seconds, a timedelta or a Cache, not '60'"),
    ("cache", cf.Cache(params="user, nope"), "ValueError: cache.params names 'nope'"),
    ("cache", cf.Cache(params=cast(Any, 5)), "TypeError: cache.params must be parameter names, not 5"),
    ("cache", cf.Cache(max_age=-1), "ValueError: cache.max_age must not be negative, but is -1"),
    ("cache", cf.Cache(max_age=cast(Any, "1")), "TypeError: cache.max_age must be a number of seconds"),
    ("cache", cf.Cache(version=cast(Any, 2)), "TypeError: cache.version must be a str, not 2"),
    ("cache", cf.Cache(namespace=cast(Any, 2)), "TypeError: cache.namespace must be a str, not 2"),
    ("retries", -1, "ValueError: retries must not be negative, but is -1"),
    ("retries", 2.5, "TypeError: retries must be a whole number, a bool or a Retries, not 2.5"),
    ("retries", math.nan, "TypeError: retries must be a whole number, a bool or a Retries, not nan"),
    ("retries", "3", "TypeError: retries must be a whole number, a bool or a Retries, not '3'"),
    ("retries", None, "TypeError: retries must be a whole number, a bool or a Retries, not None"),
    ("retries", cf.Retries(-1), "ValueError: retries.limit must not be negative, but is -1"),
    ("retries", cf.Retries(cast(Any, 1.0)), "TypeError: retries.limit must be a whole number, not 1.0"),
    ("retries", cf.Retries(True), "TypeError: retries.limit must be a whole number, not True"),
    ("retries", cf.Retries(1, (5, 1)), "ValueError: retries.backoff must be (shortest, longest), but is (5, 1)"),
    ("retries", cf.Retries(1, (-1, 1)), "ValueError: retries.backoff must not be negative, but is -1"),
    ("retries", cf.Retries(1, cast(Any, 5)), "TypeError: retries.backoff must be a pair"),
    ("retries", cf.Retries(1, cast(Any, (1, 2, 3))), "TypeError: retries.backoff must be a pair"),
    ("retries", cf.Retries(when=cast(Any, "ValueError")), "TypeError: retries.when must be"),
    ("retries", cf.Retries(when=cast(Any, int)), "TypeError: retries.when must be"),
    ("retries", cf.Retries(when=()), "TypeError: retries.when must be"),
    ("retries", cf.Retries(when=cast(Any, (ValueError, int))), "TypeError: retries.when must be"),
    ("recurrent", 1, "TypeError: recurrent must be a bool, not 1"),
    ("defer", "user", "TypeError: defer must be a bool or a Defer, not 'user'"),
    ("defer", cf.Defer("nope"), "ValueError: defer.params names 'nope'"),
    ("delay", -0.1, "ValueError: delay must not be negative, but is -0.1"),
    ("delay", math.inf, "ValueError: delay must be a finite number of seconds, not inf"),
    ("delay", True, "TypeError: delay must be a number of seconds or a timedelta, not True"),
    ("delay", timedelta(seconds=-1), "ValueError: delay must not be negative, but is datetime.timedelta"),
    ("memo", "nope", "ValueError: memo names 'nope'"),
    ("memo", None, "TypeError: memo must be parameter names, not None"),
    ("requires", "gpu", "TypeError: requires must be a dict of tags, not 'gpu'"),
    ("requires", {"gpu": 1}, "TypeError: requires['gpu'] must be a str, a bool or a list of str, not 1"),
    ("requires", {"gpu": [1]}, "TypeError: requires['gpu'] must be a str, a bool or a list of str, not [1]"),
    ("requires", {1: "gpu"}, "TypeError: requires must have tags (str) as keys, not 1"),
    ("timeout", "5", "TypeError: timeout must be a number of seconds or a timedelta, not '5'"),
    ("timeout", -1, "ValueError: timeout must not be negative, but is -1"),
    ("timeout", math.nan, "ValueError: timeout must be a finite number of seconds, not nan"),
    ("timeout", 10**400, "ValueError: timeout must be a finite number of seconds, not 1000"),
]


@pytest.mark.parametrize(("option", "value", "expected"), REFUSALS, ids=lambda value: named(value)[:50])
def test_refusal_names_target_place_option_and_value(option: str, value: Any, expected: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        options_of(**{option: value})
    kind, message = expected.split(": ", 1)
    assert caught.type.__name__ == kind
    assert str(caught.value).startswith(f"task 'load' ({__file__}:{LINE}): {message}")


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"wait names 'usr', which is not a parameter \(the parameters: user, page"):
        options_of(wait="usr")


async def retriable(error: BaseException) -> bool:
    return True


def test_an_async_retry_filter_is_refused_since_its_coroutine_would_always_be_true() -> None:
    with pytest.raises(TypeError, match=r"retries\.when"):
        options_of(retries=cf.Retries(when=retriable))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("when", "retried", "left"),
    [
        (OSError, FileNotFoundError(), ValueError()),
        ((OSError, KeyError), KeyError(), ValueError()),
        (lambda error: "again" in str(error), ValueError("again"), ValueError("no")),
    ],
)
def test_retry_filter(when: Any, retried: Exception, left: Exception) -> None:
    target = cf.task(retries=cf.Retries(3, when=when))(load)
    assert target.when is not None
    assert target.when(retried)
    assert not target.when(left)


def test_no_retry_filter_means_every_exception() -> None:
    assert cf.task(retries=3)(load).when is None


def test_workflow_memo_is_a_bool_about_its_own_run_and_not_about_its_step() -> None:
    for target, run_memo in [(cf.workflow(memo=True)(load), True), (cf.workflow()(load), False)]:
        assert (target.run_memo, target.options.memo) == (run_memo, None)
        assert (target.with_memo(["user"]).run_memo, target.with_memo(["user"]).options.memo) == (run_memo, ("user",))
    with pytest.raises(TypeError, match=r"workflow 'load' .*memo of a workflow.*'user'"):
        cf.workflow(memo="user")(load)  # type: ignore[call-overload]


@pytest.mark.parametrize("decorator", [cf.task, cf.workflow, cf.stub])
def test_unset_memo_reads_as_false(decorator: Callable[..., Any]) -> None:
    assert "memo: 'bool" in str(inspect.signature(decorator))
    default = inspect.signature(decorator).parameters["memo"].default
    assert repr(default) == "False"
    assert default == False  # noqa: E712


def test_configuration_objects_serve_many_targets_though_given_an_iterator() -> None:
    cache, defer = cf.Cache(params=iter(["user", "page"])), cf.Defer(iter(["page"]))
    for _ in range(2):
        options = options_of(cache=cache, defer=defer)
        assert options.cache == CacheOptions(params=("user", "page"))
        assert options.defer == ("page",)


@pytest.mark.parametrize("value", [cf.Cache(5), cf.Defer("a"), cf.Retries(1)])
def test_configuration_objects_are_frozen_and_comparable(value: Any) -> None:
    field = type(value).__match_args__[0]
    with pytest.raises(AttributeError):
        setattr(value, field, None)
    assert value == type(value)(getattr(value, field))
    assert value != type(value)()
    assert hash(value) == hash(type(value)(getattr(value, field)))
