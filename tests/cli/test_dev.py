"""`coflux dev` and `attach` around the dashboard: no terminal, a browser. (What they show: `tests/tui`.)"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from tests.cli.samples import Command


@pytest.mark.parametrize(
    ("name", "hint"), [("dev", "`coflux run TARGET` runs without one"), ("attach", "`coflux logs -f RUN` follows one")]
)
def test_without_a_terminal_there_is_a_hint(coflux: Command, name: str, hint: str) -> None:
    status, out, err = coflux(name)
    assert (status, out) == (2, "")
    assert err.startswith("coflux: the dashboard needs a terminal")
    assert hint in err


def test_what_a_browser_needs_is_named(coflux: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert coflux("dev", "--port", "8000")[::2] == (2, "coflux: --port is of --web\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, err = coflux("dev", "--web", "--port", str(port))
    assert (status, err) == (1, f"coflux: cannot listen on 127.0.0.1:{port}: Address already in use\n")
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    status, _, err = coflux("dev", "--web")
    assert (status, err) == (1, "coflux: --web needs textual-serve: pip install 'coflux[web]'\n")


def test_a_browser_gets_in_with_the_address_that_was_printed(tmp_path: Path) -> None:
    """No other site, no other name for this machine, and nobody else on it."""
    command = (sys.executable, "-m", "coflux", "dev", "--web", "--port", "0")
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            found = None
            while found is None:
                line = server.stderr.readline()
                assert line
                found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)
            address = found[0]
            page, _, _ = address.partition("?")
            assert answer(page) == 403
            assert answer(page + "?token=guessed") == 403
            assert answer(address, Host="elsewhere.example") == 403
            assert answer(address, Origin="https://elsewhere.example") == 403
            assert answer(address) == 200
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0


def answer(address: str, **headers: str) -> int:
    """The status of what a browser gets that keeps cookies."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
    )
    try:
        with opener.open(urllib.request.Request(address, headers=headers), timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
