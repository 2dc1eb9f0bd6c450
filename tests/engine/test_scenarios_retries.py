"""Scenarios: retries (RETRY) and timeouts (TIMEOUT)."""

from __future__ import annotations

import pytest

from tests.engine.scratch import ScratchProject, gaps, kinds

# -- retries ----------------------------------------------------------------------------------------------------------


def test_a_caller_waits_through_retries(shared: ScratchProject) -> None:
    """RETRY-S01, RETRY-S09: the parent and a sibling with the handle get the value and see no exception."""
    shared.write(
        "flow",
        """
        @cf.task(retries=2)
        def flaky():
            if attempt("flaky") < 3:
                raise ValueError("no")
            return "ok"

        @cf.task()
        def sibling(handle):
            return handle.result()

        @cf.workflow()
        def main():
            handle = flaky.submit()
            other = sibling.submit(handle)
            return [handle.result(), other.result()]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == ["ok", "ok"]
    assert kinds(document, "flaky") == [["failed", "failed", "succeeded"]]
    assert kinds(document, "sibling") == [["succeeded"]]


def test_the_last_error_is_the_one_that_is_raised(shared: ScratchProject) -> None:
    """RETRY-S02, RETRY-S03: and retries given as a number do not wait."""
    shared.write(
        "flow",
        """
        @cf.task(retries=2)
        def failing():
            raise ValueError(f"attempt {attempt('failing')}")

        @cf.workflow()
        def main():
            try:
                failing()
            except ValueError as error:
                return str(error)
        """,
    )
    assert shared.run("flow/main").value == "attempt 3"
    assert all(gap < 1 for gap in gaps(shared.marks("failing")))


def test_backoff_grows_from_the_least_to_the_most(shared: ScratchProject) -> None:
    """RETRY-S04."""
    shared.write(
        "flow",
        """
        @cf.workflow(retries=cf.Retries(2, backoff=(0.1, 0.4)))
        def main():
            mark("main")
            raise ValueError("no")
        """,
    )
    assert shared.run("flow/main").status == 1
    first, second = gaps(shared.marks("main"))
    assert first >= 0.1 - 0.02
    assert second >= 0.4 - 0.02


def test_unlimited_retries_wait_within_their_range(shared: ScratchProject) -> None:
    """RETRY-S08."""
    shared.write(
        "flow",
        """
        @cf.workflow(retries=cf.Retries(backoff=(0.03, 0.1)))
        def main():
            if attempt("main") < 7:
                raise ValueError("no")
            return "ok"
        """,
    )
    assert shared.run("flow/main").value == "ok"
    waits = gaps(shared.marks("main"))
    assert len(waits) == 6
    assert all(wait >= 0.03 - 0.02 for wait in waits)


def test_only_what_the_filter_names_is_retried(shared: ScratchProject) -> None:
    """RETRY-S05, RETRY-S06, RETRY-S07: a class, a tuple, a predicate; one that says no ends it."""
    shared.write(
        "flow",
        """
        class Coded(Exception):
            def __init__(self, code):
                super().__init__(code)
                self.code = code

        def worth_it(error):
            return error.code == 503

        @cf.task(retries=cf.Retries(3, backoff=(0, 0), when=ConnectionError))
        def by_class(error):
            raise error

        @cf.task(retries=cf.Retries(1, backoff=(0, 0), when=(KeyError, IndexError)))
        def by_tuple(error):
            raise error

        @cf.task(retries=cf.Retries(5, backoff=(0, 0), when=worth_it))
        def by_predicate():
            raise Coded(503 if attempt("by_predicate") < 2 else 404)

        @cf.workflow()
        def main():
            handles = [by_class.submit(ConnectionResetError()), by_class.submit(ValueError())]
            handles += [by_tuple.submit(error) for error in (KeyError(), IndexError(), ValueError())]
            handles.append(by_predicate.submit())
            codes = []
            for handle in handles:
                try:
                    handle.result()
                except Exception as error:
                    codes.append(getattr(error, "code", None))
            return codes[-1]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == 404
    counts = {
        name: [len(steps) for steps in kinds(document, name)] for name in ("by_class", "by_tuple", "by_predicate")
    }
    assert counts == {"by_class": [4, 1], "by_tuple": [2, 2, 1], "by_predicate": [2]}


def test_the_filter_is_the_one_of_the_call(shared: ScratchProject) -> None:
    """Behaviour 6.3: also one set by `with_retries`, which may be a closure, or by a stub; a number has none."""
    shared.write(
        "elsewhere", "@cf.task(retries=cf.Retries(9, when=KeyError))\ndef failing(n):\n    raise ValueError(n)"
    )
    shared.write(
        "flow",
        """
        @cf.task(retries=cf.Retries(2, backoff=(0, 0), when=OSError))
        def flaky(error):
            raise error

        @cf.stub("elsewhere", retries=cf.Retries(1, backoff=(0, 0), when=ValueError))
        def failing(n):
            pass

        @cf.workflow()
        def main():
            limit = 5
            copies = [
                flaky,
                flaky.with_retries(cf.Retries(2, backoff=(0, 0), when=KeyError)),
                flaky.with_retries(cf.Retries(2, backoff=(0, 0), when=lambda error: len(error.args) < limit)),
                flaky.with_retries(cf.Retries(2, backoff=(0, 0), when=lambda error: len(error.args) > limit)),
                flaky.with_retries(1),
                flaky.with_retries(0),
                flaky.with_delay(0),
            ]
            for handle in [*[copy.submit(KeyError("a", "b")) for copy in copies], failing.submit(1)]:
                try:
                    handle.result()
                except Exception:
                    pass
        """,
    )
    document = shared.document("flow/main")
    assert [len(attempts) for attempts in kinds(document, "flaky")] == [1, 3, 3, 1, 2, 1, 1]
    assert kinds(document, "failing") == [["failed", "failed"]]


def test_the_filter_sees_the_exception_itself(shared: ScratchProject) -> None:
    """Behaviour 6.3: the live one, with what could not be sent anywhere, before it leaves the process."""
    shared.write(
        "flow",
        """
        import threading

        class Busy(Exception):
            pass

        def still_locked(error):
            return error.lock.locked()

        @cf.workflow(retries=cf.Retries(2, backoff=(0, 0), when=still_locked))
        def main():
            error = Busy()
            error.lock = threading.Lock()
            if attempt("main") < 2:
                error.lock.acquire()
            raise error
        """,
    )
    document = shared.document("flow/main")
    assert kinds(document, "main") == [["failed", "failed"]]


@pytest.mark.parametrize("error", ["LookupError('the filter is broken')", "SystemExit('the filter is broken')"])
def test_a_filter_that_raises_is_reported_and_ends_the_retries(shared: ScratchProject, error: str) -> None:
    """Behaviour 6.3, where upstream retries."""
    shared.write(
        "flow",
        f"""
        def broken(error):
            raise {error}

        @cf.workflow(retries=cf.Retries(3, when=broken))
        def main():
            raise ValueError("no")
        """,
    )
    document = shared.document("flow/main")
    assert kinds(document, "main") == [["failed"]]
    assert document["error"]["type"] == f"builtins.{error.partition('(')[0]}"
    assert "ValueError: no" in document["error"]["traceback"]
    assert "raised by the retry filter (Retries.when) of flow/main" in document["error"]["traceback"]


# -- timeouts ---------------------------------------------------------------------------------------------------------


def test_a_timeout_kills_and_is_raised_in_the_caller(shared: ScratchProject) -> None:
    """TIMEOUT-S01: within half a second of the limit (behaviour 7.5)."""
    shared.write(
        "flow",
        """
        @cf.task(timeout=0.3)
        def slow():
            mark("start")
            time.sleep(20)
            mark("end")

        @cf.workflow()
        def main():
            try:
                slow()
            except cf.ExecutionTimeout as error:
                mark("caught")
                return type(error).__name__
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "ExecutionTimeout"
    assert kinds(document, "slow") == [["timed_out"]]
    assert shared.marks("end") == []
    [started], [caught] = shared.marks("start"), shared.marks("caught")
    assert 0.28 <= caught.at - started.at < 2


def test_a_timeout_is_retried(shared: ScratchProject) -> None:
    """TIMEOUT-S02."""
    shared.write(
        "flow",
        """
        @cf.workflow(timeout=0.3, retries=1)
        def main():
            if attempt("main") == 1:
                time.sleep(20)
            return "ok"
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "ok"
    assert kinds(document, "main") == [["timed_out", "succeeded"]]


def test_a_timeout_includes_waiting_and_cancels_what_is_below(shared: ScratchProject) -> None:
    """TIMEOUT-S03. The command's status tells of the timeout (behaviour 11.2)."""
    shared.write(
        "flow",
        """
        @cf.task()
        def slow():
            mark("start")
            time.sleep(20)
            mark("end")

        @cf.workflow(timeout=0.5)
        def main():
            slow()
        """,
    )
    finished = shared.coflux("run", "--json", "flow/main")
    document = finished.value
    assert finished.status == 124
    assert kinds(document, "main") == [["timed_out"]]
    assert kinds(document, "slow") == [["cancelled"]]
    assert shared.marks("end") == []


def test_no_timeout_and_one_that_was_lengthened(shared: ScratchProject) -> None:
    """TIMEOUT-S04, TIMEOUT-S05."""
    shared.write(
        "flow",
        """
        @cf.task(timeout=0)
        def unlimited():
            time.sleep(0.3)
            return "unlimited"

        @cf.task(timeout=0.1)
        def limited():
            time.sleep(0.3)
            return "lengthened"

        @cf.workflow()
        def main():
            return [handle.result() for handle in [unlimited.submit(), limited.with_timeout(5).submit()]]
        """,
    )
    assert shared.run("flow/main").value == ["unlimited", "lengthened"]
