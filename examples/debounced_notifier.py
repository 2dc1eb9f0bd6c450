"""Defer: many events, one notification. Mails about documents that are being edited, one for each burst of saves.

    coflux run examples/debounced_notifier.py
    coflux run examples/debounced_notifier.py --maildir ~/Maildir

`notify` waits for a moment before it starts. A newer submission for the same document replaces the one that waits, with
a text and a delay of its own: so a mail is sent once a document has been left alone for `delay`, and tells of its last
version. Whoever waits for a submission that was replaced gets the result of the one that was executed instead.
The mails are real ones, in a mailbox that any mail program can read.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from email.message import EmailMessage
from mailbox import Maildir
from pathlib import Path

import coflux as cf

DOCUMENTS = ("budget.md", "minutes.md", "plan.md")


@cf.task(delay=0.5, defer=cf.Defer(params="document"))
def notify(document: str, version: int, maildir: Path) -> int:
    """Send a mail; return the version that it tells of."""
    message = EmailMessage()
    message["To"] = "reviewers@example.org"
    message["Subject"] = f"{document} was edited"
    message.set_content(f"{document} is at version {version} now.\n")
    Maildir(maildir).add(message)
    cf.log_info("Sent a mail about version {version} of {document}", version=version, document=document)
    return version


@cf.workflow()
def debounced_notifier(maildir: Path | None = None, saves: int = 30) -> dict[str, object]:
    """An editing session. Without a mailbox, the mails are gone with the workflow's working directory."""
    mails = maildir or Path.cwd() / "mail"
    versions: Counter[str] = Counter()
    told = []
    for _ in range(saves):
        document = random.choice(DOCUMENTS)
        versions[document] += 1
        told.append((document, notify.submit(document, versions[document], mails)))
        time.sleep(random.uniform(0, 0.02))
    sent = {(document, notification.result()) for document, notification in told}
    return {"saves": saves, "versions": dict(versions), "mails": sorted(sent)}
