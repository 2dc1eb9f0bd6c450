"""Retries and timeouts: read all pages of a web API that is overloaded, hangs, and lacks a page.

    coflux run examples/flaky_api.py

The API is a real HTTP server on this machine, so the failures are real ones. Answers of 503 are retried with a growing
pause, a request that hangs is stopped by the timeout and retried, a missing page is not: `when` names what is worth it.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import coflux as cf


class PageMissing(Exception):
    pass


class ServerBusy(Exception):
    pass


@cf.task(retries=cf.Retries(4, backoff=(0.05, 0.5), when=ServerBusy), timeout=1)
def fetch_page(host: str, page: int) -> list[int]:
    cf.log_info("Fetching page {page}", page=page)
    with closing(HTTPConnection(host)) as connection:
        connection.request("GET", f"/orders/{page}")
        response = connection.getresponse()
        if response.status == 404:
            raise PageMissing(f"there is no page {page}")
        if response.status == 503:
            raise ServerBusy(f"no answer for page {page} yet")
        orders: list[int] = json.load(response)
        return orders


@cf.workflow
def flaky_api(pages: int = 6) -> dict[str, object]:
    orders: list[int] = []
    missing = []
    with unreliable_server() as host:
        fetches = {page: fetch_page.submit(host, page) for page in range(1, pages + 1)}
        for page, fetch in fetches.items():
            try:
                orders += fetch.result()
            except PageMissing as error:
                cf.log_warning("Going on without a page", page=page, error=str(error))
                missing.append(page)
    return {"orders": len(orders), "total": sum(orders), "missing_pages": missing}


# -- the API: pages answer their first requests with 503, page 3 hangs at first, page 5 does not exist -----------------


class UnreliableServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), UnreliableHandler)
        self.requests: Counter[int] = Counter()
        self.closing = threading.Event()


class UnreliableHandler(BaseHTTPRequestHandler):
    server: UnreliableServer

    def do_GET(self) -> None:
        page = int(self.path.rpartition("/")[2])
        self.server.requests[page] += 1
        if page == 5:
            self.send_error(404)
        elif page == 3 and self.server.requests[page] == 1:
            self.server.closing.wait(timeout=10)
        elif self.server.requests[page] <= page % 3:
            self.send_error(503)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps([page * 10 + order for order in range(10)]).encode())


@contextmanager
def unreliable_server() -> Iterator[str]:
    with UnreliableServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
