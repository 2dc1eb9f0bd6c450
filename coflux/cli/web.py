"""`coflux dev --web`: the same dashboard in a browser on this machine, through textual-serve.

Each browser tab gets a process of its own, `coflux dev` with the same arguments, and what runs belongs to the engine:
closing a tab ends no run. Whoever can open the page can run code as this user, so it is served on the loopback address
only, and only to who knows the address that was printed: its token becomes a cookie. Other sites that the browser shows
are kept out besides, by whose page a connection is (`Origin`) and under which name it came here (`Host`).
"""

from __future__ import annotations

import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from coflux.cli import exits
from coflux.project import Project

__all__ = ["serve"]

HOST = "127.0.0.1"


def serve(project: Project, words: tuple[str, ...], port: int) -> int:
    """Serve `coflux dev` with these words until Ctrl-C.

    Raises:
        CommandError: textual-serve is missing, or the port is taken.
    """
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError:
        raise exits.CommandError("--web needs textual-serve: pip install 'coflux[web]'", exits.FAILED) from None
    port = _free_port(port)
    address, token, cookie = f"{HOST}:{port}", secrets.token_urlsafe(24), f"coflux-{port}"

    @web.middleware
    async def only_here(request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]) -> Any:
        origin = request.headers.get("Origin")
        if request.headers.get("Host") != address or origin not in (None, f"http://{address}"):
            raise web.HTTPForbidden(text="this is for pages of this server only")
        if secrets.compare_digest(request.query.get("token", "").encode(), token.encode()):
            found = web.HTTPFound("/")
            found.set_cookie(cookie, token, httponly=True, samesite="Strict")
            raise found
        if not secrets.compare_digest(request.cookies.get(cookie, "").encode(), token.encode()):
            raise web.HTTPForbidden(text="open the address that `coflux dev --web` printed")
        return await handler(request)

    class LocalServer(Server):  # type: ignore[misc, unused-ignore]
        async def _make_app(self) -> web.Application:
            app = await super()._make_app()
            app.middlewares.append(only_here)
            return app

        def initialize_logging(self) -> None:
            """It would log each tab to standard output."""

        async def on_startup(self, app: web.Application) -> None:
            print(f"coflux is at http://{address}/?token={token}", file=sys.stderr)
            print("Ctrl-C ends it; what runs goes on", file=sys.stderr, flush=True)

    command = shlex.join([sys.executable, "-m", "coflux", "dev", "--data-dir", project.data_dir, *words])
    LocalServer(command, host=HOST, port=port, title=f"coflux {project.root}").serve()
    return exits.SUCCEEDED


def _free_port(port: int) -> int:
    """The port, or a free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise exits.CommandError(f"cannot listen on {HOST}:{port}: {error.strerror}", exits.FAILED) from None
        return int(probe.getsockname()[1])
