"""User code that changes its process: nothing of it reaches the next execution, and the engine does not notice."""

from __future__ import annotations

from tests.engine.scratch import ScratchProject, kinds


def test_i13_what_an_execution_changes_does_not_reach_the_next(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        import random, signal

        def state():
            mask = os.umask(0)
            os.umask(mask)
            return {
                "umask": mask,
                "environment": [os.environ.get("LEAK"), os.environ.get("HOME")],
                "path": list(sys.path),
                "recursion": sys.getrecursionlimit(),
                "handlers": [str(signal.getsignal(signal.SIGUSR1)), str(signal.getsignal(signal.SIGINT))],
                "mask": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
                "stdout": type(sys.stdout).__name__,
                "elsewhere": os.getcwd() == "/usr",
            }

        @cf.task()
        def look():
            return [state(), os.getcwd(), random.random(), os.listdir()]

        @cf.task()
        def spoil():
            os.chdir("/usr")
            os.umask(0o777)
            os.environ["LEAK"] = "yes"
            os.environ.pop("HOME", None)
            sys.path.insert(0, "/leak")
            sys.setrecursionlimit(5000)
            random.seed(1)

        @cf.task()
        def spoil_signals():
            signal.signal(signal.SIGUSR1, lambda *_: None)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

        @cf.workflow()
        def main():
            looks = [look()]
            for target in (spoil, spoil_signals, spoil):
                target()
                looks.append(look())
            return looks
        """,
    )
    looks = project.run("flow/main", COFLUX_CONCURRENCY="1").value
    states, directories, numbers, contents = zip(*looks, strict=True)
    assert all(state == states[0] for state in states)
    assert len(set(directories)) == 4
    assert len(set(numbers)) == 4
    assert set(map(tuple, contents)) == {()}


def test_i14_signal_handlers_of_the_user_do_not_disturb_children_or_timeouts(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        import signal, subprocess

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # at import, too: every worker starts from here

        @cf.task()
        def exit_code():
            return subprocess.run(["sh", "-c", "exit 3"]).returncode

        @cf.task()
        def ignore_children():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            subprocess.Popen(["true"])
            return 1

        @cf.task(timeout=0.5)
        def alarmed():
            signal.signal(signal.SIGALRM, lambda *_: None)
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            gate("never")

        @cf.task()
        def crash():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            os._exit(9)

        def outcome(handle):
            try:
                return handle.result()
            except (cf.ExecutionError, cf.ExecutionTimeout) as error:
                return str(error)

        @cf.workflow()
        def main():
            targets = (ignore_children, exit_code, alarmed, crash, exit_code)
            return [outcome(target.submit()) for target in targets]
        """,
    )
    document = project.document("flow/main", COFLUX_CONCURRENCY="1")
    one, code, timeout, crash, code_again = document["result"]
    assert (one, code, code_again) == (1, 3, 3)
    assert "timeout of 0.5 s" in timeout
    assert "exit code 9" in crash
    assert (kinds(document, "alarmed"), kinds(document, "crash")) == ([["timed_out"]], [["abandoned"]])
