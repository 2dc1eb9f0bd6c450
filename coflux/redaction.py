"""Secrets are taken out of text: each is replaced by `***`, however it is written there.

What counts is every form in which a secret may stand in a text: as it is, escaped as JSON and `repr` do it (twice, too:
JSON inside JSON), and each longer line of one that has several. A text that holds no secret costs a search for each
form, and nothing at all where no secret is known.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, AnyStr

__all__ = ["LEAST", "MARK", "THIS_PROCESS", "Redactor", "environment_secrets", "is_secret_name", "learn_environment"]

MARK = "***"
LEAST = 8  # characters of what counts without having been called a secret: environment variables, and single lines

_NESTING = 2  # times that a text may have been escaped
_SECRET_SEGMENTS = frozenset({"KEY", "TOKEN", "PASSWORD", "SECRET"})
_ESCAPED = frozenset("\\\"'")


def is_secret_name(name: str) -> bool:
    """Whether an environment variable of this name is taken for a secret: `AWS_SECRET_ACCESS_KEY`, `api-token`."""
    return not _SECRET_SEGMENTS.isdisjoint(re.split(r"[^A-Z0-9]+", name.upper()))


def environment_secrets(environment: Mapping[str, str]) -> frozenset[str]:
    """The values of an environment that count as secrets: those of 8 characters or more with a secret's name."""
    return frozenset([value for name, value in environment.items() if len(value) >= LEAST and is_secret_name(name)])


class Redactor:
    """Knows secrets and replaces them. Any thread may ask it, also while another one adds to it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._texts: list[str] = []  # every form of every secret
        self._bytes: list[bytes] = []  # the same in UTF-8
        self._shortest = sys.maxsize  # characters
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Replace these, too. An empty one is none."""
        for secret in secrets:
            if secret and secret not in self._secrets:
                forms = _forms(secret)
                self._texts += forms
                self._bytes += [form.encode("utf-8", "surrogatepass") for form in forms]
                self._shortest = min(self._shortest, *map(len, forms))
                self._secrets.add(secret)

    def __contains__(self, secret: str) -> bool:
        """Whether it is replaced."""
        return secret in self._secrets

    @property
    def secrets(self) -> frozenset[str]:
        return frozenset(self._secrets)

    def finds(self, text: str | bytes) -> bool:
        """Whether there is a secret in `text` (bytes: in UTF-8)."""
        if len(text) < self._shortest:
            return False
        forms: list[Any] = self._texts if isinstance(text, str) else self._bytes
        for form in forms:  # noqa: SIM110 (a generator for `any` takes twice as long)
            if form in text:
                return True
        return False

    def text(self, text: str, *, cut: int = 0) -> str:
        """`text` without secrets. With `cut`, its end is missing: there, beginnings of a secret go too, if they are at
        least so many characters long."""
        spans = list(_spans(text, self._texts)) if self.finds(text) else []
        if cut and (begun := _begun(text, self._texts)) <= len(text) - cut:
            spans.append((begun, len(text)))
        if not spans:
            return text
        pieces = []
        shown = 0
        for start, end in _merged(spans):
            pieces += [text[shown:start], MARK]
            shown = end
        return "".join([*pieces, text[shown:]])

    def held(self, text: bytes | bytearray) -> int:
        """How many bytes at the end of `text` cannot be shown before it is known what follows.

        They may begin a secret, or belong to one with which that would overlap. Both parts can be redacted apart.
        """
        if not self._bytes:
            return 0
        text = bytes(text)
        end = _begun(text, self._bytes)
        for start, stop in sorted(_spans(text, self._bytes), reverse=True):
            if start < end < stop:
                end = start
        return len(text) - end

    def data(self, value: Any) -> Any:
        """As `text`, for all texts in plain data (lists, tuples, dicts and their keys). A number whose digits are a
        secret becomes a text. Anything else, and instances of subclasses, are left as they are."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is int or kind is float:
            return MARK if self.finds(repr(value)) else value
        if kind is list or kind is tuple:
            return kind([self.data(item) for item in value])
        if kind is dict:
            redacted: dict[Any, Any] = {}
            for key, item in value.items():
                shown = self.data(key)
                # Keys that become equal are told apart by their place.
                redacted[f"{shown} ({len(redacted)})" if shown in redacted else shown] = self.data(item)
            return redacted
        return value


THIS_PROCESS = Redactor()
"""What must not be shown of the texts that are made in this process."""


def learn_environment() -> None:
    """From now on, texts of this process do not show what its environment holds of secrets."""
    THIS_PROCESS.add(environment_secrets(os.environ))


def _forms(secret: str) -> set[str]:
    """All that has to be replaced for a secret: itself and its longer lines, escaped or not."""
    lines = secret.replace("\\n", "\n").splitlines()  # in an environment, a key often has escapes for its line ends
    forms = {secret, *[line for line in lines if len(line) >= LEAST]}
    for _ in range(_NESTING):
        forms |= {escaped for form in forms for escaped in _escapes(form)}
    return forms


def _escapes(text: str) -> Iterator[str]:
    """The ways in which `text` may stand inside a literal."""
    if text.isascii() and text.isprintable() and _ESCAPED.isdisjoint(text):
        return
    import json

    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield "".join([one if one.isprintable() else repr(one)[1:-1] for one in text])
    yield text.encode("utf-8", "backslashreplace").decode()
    # Whether `repr` escapes single quotes depends on what else there is in the literal.
    unquoted = text.split("'")
    for pieces in (
        [repr(piece)[1:-1] for piece in unquoted],
        [ascii(piece)[1:-1] for piece in unquoted],
        [repr(piece.encode("utf-8", "surrogatepass"))[2:-1] for piece in unquoted],
    ):
        yield "'".join(pieces)
        yield "\\'".join(pieces)


def _spans(text: AnyStr, forms: Iterable[AnyStr]) -> Iterator[tuple[int, int]]:
    """Where forms are in `text`: beginnings and ends, also of those that overlap."""
    for form in forms:
        at = text.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = text.find(form, at + 1)


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same places in order, those that overlap or touch as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _begun(text: AnyStr, forms: Iterable[AnyStr]) -> int:
    """Where the longest end of `text` begins that is the beginning of a form, but not all of it."""
    begun = len(text)
    for form in forms:
        at = text.find(form[:1], max(len(text) - len(form) + 1, 0))
        while 0 <= at < begun:
            if form.startswith(text[at:]):
                begun = at
            else:
                at = text.find(form[:1], at + 1)
    return begun
