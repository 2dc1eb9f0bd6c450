"""A shop's day: what `coflux dev --demo` plays, and an example of how workflows are written.

    coflux dev --demo

It shows what the dashboard shows: pages fetched in parallel, with retries, and one that never comes; logs with levels
and values; progress; a training curve; a table and a picture to look at; results that are cached, memoised or come from
a child run; a step that is suspended until somebody else is ready. Everything is pretended, so nothing leaves this
machine, and all of it is the same each time.
"""

from __future__ import annotations

import csv
import random
import struct
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path

import coflux as cf

CURRENCIES = {"EUR": 1.0, "USD": 0.92, "GBP": 1.17, "JPY": 0.0061}
LOST_PAGE = 13  # never comes, however often it is asked for
SHY_PAGES = 7  # every seventh page comes at the second attempt
ORDERS_PER_PAGE = 20
WAITING_TURNS = 3  # times that the accountants are asked before they are ready


class Pace(Enum):
    """How long everything takes."""

    SLOW = 2.0
    NORMAL = 1.0
    FAST = 0.05


@dataclass(frozen=True)
class Order:
    number: int
    currency: str
    amount: float


@dataclass(frozen=True)
class Shop:
    """The pretended web shop. It remembers visits in files, since each may come from another process."""

    directory: Path
    pace: Pace

    def visit(self, what: str) -> int:
        """Note a visit; return how many there have been."""
        file = self.directory / what
        with file.open("a") as visits:
            visits.write(".")
        return file.stat().st_size

    def work(self, seconds: float) -> None:
        time.sleep(seconds * self.pace.value)


class ShopClosed(ConnectionError):
    """The shop does not answer."""


# -- a day's orders ---------------------------------------------------------------------------------------------------


@cf.workflow()
def ingest_orders(
    day: date = date(2026, 6, 1), pages: int = 24, pace: Pace = Pace.NORMAL, strict: bool = False
) -> dict[str, object]:
    """Load the orders of a day, convert them to euros, and publish a report.

    Pages that do not come are left out, and the log says so.

    Args:
        day: whose orders they are.
        pages: how many there are.
        pace: how long everything takes.
        strict: fail when a page is missing.
    """
    with tempfile.TemporaryDirectory() as directory:
        shop = Shop(Path(directory), pace)
        rates = exchange_rates(day, shop)
        forecast = train_forecast.submit(epochs=40, pace=pace)
        approval = wait_for_accounting.submit(shop)
        orders = fetch_all(shop, day, pages, strict)
        with cf.group("Convert"):
            batches = [to_euros.submit(orders[at : at + 100], rates, shop) for at in range(0, len(orders), 100)]
        amounts = [amount for batch in batches for amount in batch.result()]
        report = publish_report.submit(day, amounts, shop)
        return {
            "orders": len(orders),
            "total": round(sum(amounts), 2),
            "tomorrow": forecast.result(),
            "approved_by": approval.result(),
            "report": report.result(),
        }


def fetch_all(shop: Shop, day: date, pages: int, strict: bool) -> list[Order]:
    with cf.group("Fetch pages"):
        fetches = {page: fetch_page.submit(page, day, shop) for page in range(1, pages + 1)}
    orders: list[Order] = []
    for page, fetch in cf.progress(fetches.items()):
        try:
            orders += fetch.result()
        except ShopClosed as error:
            if strict:
                raise
            cf.log_warning("Going on without page {page}", page=page, error=str(error))
    return orders


@cf.task(cache=cf.Cache(max_age=3600, params=["day"]))
def exchange_rates(day: date, shop: Shop) -> dict[str, float]:
    """The rates of a day: asked for once an hour, whoever needs them."""
    shop.work(0.8)
    cf.log_info("Rates of {day}", day=str(day), **CURRENCIES)
    return CURRENCIES


@cf.task(retries=cf.Retries(2, backoff=(0.5, 2), when=ShopClosed), timeout=30)
def fetch_page(page: int, day: date, shop: Shop) -> list[Order]:
    """Read one page of orders. The shop is not always willing."""
    attempt = shop.visit(f"page-{page}")
    cf.log_debug("GET /orders/{day}/{page}", day=str(day), page=page, attempt=attempt)
    chance = random.Random(f"{day} {page}")
    for _ in cf.progress(range(ORDERS_PER_PAGE)):
        shop.work(chance.uniform(0.02, 0.06))
    if page == LOST_PAGE or (page % SHY_PAGES == 0 and attempt == 1):
        cf.log_error("503 Service Unavailable", page=page, attempt=attempt)
        try:
            raise TimeoutError("no answer from shop.example within 1 s")
        except TimeoutError as error:
            raise ShopClosed(f"page {page} did not come") from error
    print(f"page {page}: {ORDERS_PER_PAGE} orders")
    first = page * ORDERS_PER_PAGE
    currencies = list(CURRENCIES)
    return [
        Order(number, chance.choice(currencies), round(chance.uniform(5, 500), 2))
        for number in range(first, first + ORDERS_PER_PAGE)
    ]


@cf.task()
def to_euros(orders: Sequence[Order], rates: dict[str, float], shop: Shop) -> list[float]:
    """Convert a batch of orders. Each currency is looked up once in a run, whichever batch needs it first."""
    scales = {order.currency: scale_of.submit(order.currency, rates, shop) for order in orders}
    return [round(order.amount * scales[order.currency].result(), 2) for order in orders]


@cf.task(memo=["currency"])
def scale_of(currency: str, rates: dict[str, float], shop: Shop) -> float:
    """What one unit of a currency is worth."""
    shop.work(0.3)
    return rates[currency]


@cf.task()
def wait_for_accounting(shop: Shop) -> str:
    """Somebody has to approve the report: until they are ready, this takes no worker."""
    if shop.visit("accounting") < WAITING_TURNS:
        cf.suspend(4 * shop.pace.value)
    cf.log_info("The accountants are ready")
    return "Grace"


@cf.task()
def publish_report(day: date, amounts: list[float], shop: Shop) -> cf.Asset:
    """Write a table of the amounts and a picture of how they are spread."""
    shop.work(1.5)
    with Path("amounts.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["order", "euros"])
        table.writerows(enumerate(amounts, 1))
    counts = [0] * 24
    for amount in amounts:
        counts[min(int(amount / 25), len(counts) - 1)] += 1
    Path("amounts.png").write_bytes(bar_picture(counts))
    cf.log_info("Report of {day}: {count} orders", day=str(day), count=len(amounts), mean=round(mean(amounts), 2))
    return cf.asset(["amounts.csv", "amounts.png"], name=f"report {day}")


# -- a model ----------------------------------------------------------------------------------------------------------

EPOCHS = cf.MetricGroup("training", units="epochs", lower=0)
LOSS = cf.MetricScale("loss", lower=0)
SHARE = cf.MetricScale("accuracy", units="%", lower=0, upper=100)
training_loss = cf.Metric("train", group=EPOCHS, scale=LOSS, throttle=None)
validation_loss = cf.Metric("validation", group=EPOCHS, scale=LOSS, throttle=None)
accuracy = cf.Metric("accuracy", group=EPOCHS, scale=SHARE, throttle=None)


@cf.workflow()
def train_forecast(epochs: int = 40, learning_rate: float = 0.1, pace: Pace = Pace.NORMAL) -> float:
    """Learn from the orders so far how many there will be tomorrow.

    The curves of the pretended training are drawn while it goes on.
    """
    chance = random.Random(epochs)
    loss = 2.4
    for epoch in cf.progress(range(epochs)):
        time.sleep(0.3 * pace.value)
        loss = 0.2 + (loss - 0.2) * (1 - learning_rate) + chance.gauss(0, 0.02)
        training_loss.record(loss, at=epoch)
        validation_loss.record(loss * 1.15 + 0.004 * epoch + chance.gauss(0, 0.03), at=epoch)
        accuracy.record(max(0.0, min(100.0, 96 - 36 * (loss - 0.2) + chance.gauss(0, 0.8))), at=epoch)
        if epoch % 10 == 9:
            cf.log_info("Epoch {epoch}: loss {loss}", epoch=epoch, loss=round(loss, 3))
    return round(400 * (1 - loss / 10), 1)


# -- helpers ----------------------------------------------------------------------------------------------------------


def mean(amounts: Sequence[float]) -> float:
    return sum(amounts) / max(len(amounts), 1)


def bar_picture(counts: Sequence[int], height: int = 48, bar: int = 4) -> bytes:
    """A PNG with a bar for each count."""
    most = max(counts, default=0) or 1
    rows = []
    for y in range(height, 0, -1):
        pixels = [
            (60 + 150 * y // height, 90, 220) if count * height >= y * most else (24, 26, 36)
            for count in counts
            for _ in range(bar)
        ]
        rows.append(b"\0" + bytes(part for pixel in pixels for part in pixel))
    header = struct.pack(">IIBBBBB", len(counts) * bar, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
