"""The standard library's `logging`, and what else prints log lines: everything appears, and nothing twice."""

from __future__ import annotations

from typing import Any

from tests.engine.scratch import ScratchProject


def entries(project: ScratchProject, identifier: str) -> list[dict[str, Any]]:
    logs: list[dict[str, Any]] = project.coflux("logs", identifier, "--json").value["logs"]
    return logs


def told(project: ScratchProject, run: str, step: int) -> list[tuple[str, str | None, str]]:
    return [(entry["level"], entry["logger"], entry["text"]) for entry in entries(project, f"{run}:{step}")]


def test_records_become_entries(shared: ScratchProject) -> None:
    """Also outside the main thread, with broken arguments, and from a finalizer in the middle of a message."""
    shared.write(
        "flow",
        """
        import gc, logging, threading

        app = logging.getLogger("app.db")

        class Broken:
            def __str__(self): raise ValueError("no text")

        class Chatty:
            def __str__(self):
                app.info("being shown")
                return "chatty"

        class Finalized:
            def __del__(self): app.info("finalized")

        @cf.task()
        def levels():
            app.debug("unseen")
            app.info("%s has {braces}", "text", extra={"braces": (1, 2), "size": 3})
            app.warning("careful")
            app.critical("worst")
            logging.getLogger().info("from the root")

        @cf.task()
        def problems():
            try:
                1 / 0
            except ZeroDivisionError:
                app.exception("failed", extra={"page": 7})
            app.info("%d", "not a number", exc_info=False)
            app.info(Broken())
            app.info("shown %s", Chatty())
            app.info("here", stack_info=True)

        @cf.task()
        def threads():
            def work():
                app.info("in a thread")
                raise KeyError("lost")
            thread = threading.Thread(target=work, name="helper")
            thread.start()
            thread.join()

        @cf.task()
        def finalizers():
            for number in range(2000):
                item = Finalized()
                item.itself = item
                app.info("{} %s", number)
            del item
            gc.collect()

        @cf.workflow()
        def main():
            levels(), problems(), threads(), finalizers()
        """,
    )
    run = shared.document("--concurrency", "1", "flow/main")["run"]["id"]
    assert told(shared, run, 2) == [
        ("info", "app.db", "text has {braces} braces=(1, 2) size=3"),
        ("warning", "app.db", "careful"),
        ("error", "app.db", "worst"),
        ("info", "root", "from the root"),
    ]
    assert entries(shared, f"{run}:2")[0]["values"] == {"braces": [1, 2], "size": 3}
    failed, unfit, broken, nested, shown, stack = told(shared, run, 3)
    assert failed[2].splitlines()[:2] == ["failed", "Traceback (most recent call last):"]
    assert failed[2].splitlines()[-2:] == ["ZeroDivisionError: division by zero", "page=7"]
    assert unfit[2].startswith("%d (not filled in: TypeError: %d format")
    assert broken[2] == "flow.Broken (not filled in: ValueError: no text)"
    assert (nested[2], shown[2]) == ("being shown", "shown chatty")
    assert stack[2].splitlines()[:2] == ["here", "Stack (most recent call last):"]
    assert "in problems" in stack[2]
    assert "coflux/executor" not in stack[2]
    assert [text.splitlines()[0] for _, _, text in told(shared, run, 4)] == [
        "in a thread",
        "exception in thread helper",
    ]
    assert told(shared, run, 4)[1][2].endswith("KeyError: 'lost'")
    texts = [text for _, _, text in told(shared, run, 5)]
    assert [text for text in texts if text != "finalized"] == [f"{{}} {number}" for number in range(2000)]
    assert texts.count("finalized") == 2000


def test_nothing_appears_twice(shared: ScratchProject) -> None:
    """O04: with handlers that were set up at import or in the task, forked or spawned; loguru and structlog print."""
    shared.write(
        "flow",
        """
        import logging, pathlib, subprocess
        from rich.logging import RichHandler

        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(message)s")
        app = logging.getLogger("app")
        early = sys.stderr  # as loguru keeps it

        @cf.task()
        def at_import():
            app.debug("below")
            app.info("once")
            print("line", file=early)

        @cf.task()
        def in_task(path):
            app.addHandler(logging.FileHandler(path))
            app.addHandler(RichHandler())
            app.addHandler(logging.StreamHandler(sys.stdout.buffer and sys.stdout))
            app.info("to a file")
            app.setLevel(logging.WARNING)
            app.info("nowhere")
            silent = logging.getLogger("silent")
            silent.addHandler(logging.NullHandler())
            silent.propagate = False
            silent.error("nowhere")
            app.setLevel(logging.NOTSET)
            app.handlers.clear()

        @cf.task()
        def elsewhere():
            if os.fork() == 0:
                app.warning("forked")
                sys.stderr.flush()
                os._exit(0)
            os.wait()

        @cf.workflow()
        def main(path: str):
            at_import(), in_task(path), elsewhere()
        """,
    )
    path = shared.root / "task.log"
    for method in ("fork", "spawn"):
        document = shared.document("flow/main", str(path), COFLUX_START_METHOD=method)
        run = document["run"]["id"]
        at_import = told(shared, run, 2)
        assert [entry for entry in at_import if entry[1]] == [("info", "app", "once")]
        assert [text for _, logger, text in at_import if not logger] == ["DEBUG below", "line"]
        assert told(shared, run, 3) == [("info", "app", "to a file")]
        assert told(shared, run, 4) == [("stderr", None, "WARNING forked")]
    assert path.read_text() == "to a file\n" * 2


def test_what_the_module_sets_counts(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        import logging

        logging.basicConfig(level=logging.WARNING, filename=os.path.join(os.path.dirname(__file__), "own.log"))

        @cf.workflow()
        def main():
            logging.info("no")
            logging.warning("yes")
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    assert told(shared, run, 1) == [("warning", "root", "yes")]
    assert (shared.root / "own.log").read_text() == "WARNING:root:yes\n"
