"""Secrets are taken out of text: each is replaced by `***`, however it is written there.

What counts is every form in which a secret may stand in a text: as it is, escaped as JSON and `repr` do it (twice, too:
JSON inside JSON), and each longer line of one that has several. A secret of 8 characters or more is also found
percent-encoded, in hex, and in base64, wherever it is in what was encoded; there, a character that it shares with its
neighbours is left. A text that holds no secret costs a search for each form, and nothing at all where no secret is
known.
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
_LEAST_ENCODED = 4  # characters: fewer of an encoded secret, at the end of a text that is cut, are most likely chance
_SECRET_SEGMENTS = frozenset({"KEY", "TOKEN", "PASSWORD", "SECRET"})
_ESCAPED = frozenset("\\\"'")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_URL_SAFE = str.maketrans("+/", "-_")


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
        self._plain: list[str] = []  # those forms that show the secret as it is
        self._encoded: list[str] = []  # the others
        self._telling: list[str] = []  # without those that hold another form of the secret: is there any?
        self._telling_bytes: list[bytes] = []
        self._shortest = sys.maxsize  # characters
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Replace these, too. An empty one is none."""
        for secret in secrets:
            if secret and secret not in self._secrets:
                plain = _forms(secret)
                encoded = _encoded_forms(secret.strip()) - plain
                forms = plain | encoded
                telling = [form for form in forms if not any(other != form and other in form for other in forms)]
                self._plain += plain
                self._encoded += encoded
                self._texts += forms
                self._bytes += map(_utf8, forms)
                self._telling += telling
                self._telling_bytes += map(_utf8, telling)
                self._shortest = min(self._shortest, *map(len, telling))
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
        forms: list[Any] = self._telling if isinstance(text, str) else self._telling_bytes
        for form in forms:  # noqa: SIM110 (a generator for `any` takes twice as long)
            if form in text:
                return True
        return False

    def text(self, text: str, *, cut: int = 0) -> str:
        """`text` without secrets. With `cut`, its end is missing: there, beginnings of a secret go too, if they are at
        least so many characters long."""
        spans = list(_spans(text, self._texts)) if self.finds(text) else []
        if cut:
            for begun in (_begun(text, self._plain, cut), _begun(text, self._encoded, max(cut, _LEAST_ENCODED))):
                spans += [(begun, len(text))] if begun < len(text) else []
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

    def data(self, value: Any, *, exact_numbers: bool = False) -> Any:
        """As `text`, for all texts in plain data (lists, tuples, dicts and their keys). A number with a secret in its
        digits becomes a text; with `exact_numbers`, only one that is nothing but a secret of 8 characters or more.
        Anything else, and instances of subclasses, are left as they are."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is int or kind is float:
            digits = repr(value)
            hidden = len(digits) >= LEAST and digits in self._secrets if exact_numbers else self.finds(digits)
            return MARK if hidden else value
        if kind is list or kind is tuple:
            return kind([self.data(item, exact_numbers=exact_numbers) for item in value])
        if kind is dict:
            redacted: dict[Any, Any] = {}
            for key, item in value.items():
                shown = self.data(key, exact_numbers=exact_numbers)
                # Keys that become equal are told apart by their place.
                place = f"{shown} ({len(redacted)})" if shown in redacted else shown
                redacted[place] = self.data(item, exact_numbers=exact_numbers)
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


def _encoded_forms(secret: str) -> set[str]:
    """How a secret that is long enough stands in URLs, headers and dumps."""
    if len(secret) < LEAST:
        return set()
    from binascii import b2a_base64

    data = _utf8(secret)
    forms = {data.hex(), _percent_encoded(data, b""), _percent_encoded(data, b"/")}
    forms.add(_percent_encoded(data, b" ").replace(" ", "+"))
    for before in range(3):  # bytes, in the group of three that the secret begins in
        encoded = b2a_base64(bytes(before) + data, newline=False).decode().rstrip("=")
        begin, end = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        # The last character may be shared with what follows, unless nothing does.
        for form in (encoded[begin:], encoded[begin:end]):
            forms |= {form, form.translate(_URL_SAFE)}
    return forms


def _percent_encoded(data: bytes, kept: bytes) -> str:
    """As `urllib.parse.quote`, which takes long to import."""
    return "".join([chr(byte) if byte in _UNRESERVED or byte in kept else f"%{byte:02X}" for byte in data])


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


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


def _begun(text: AnyStr, forms: Iterable[AnyStr], least: int = 1) -> int:
    """Where the longest end of `text` begins that is the beginning of a form, but not all of it; the end of `text` if
    that is shorter than `least`."""
    begun = len(text)
    for form in forms:
        at = text.find(form[:1], max(len(text) - len(form) + 1, 0))
        while 0 <= at < begun:
            if form.startswith(text[at:]):
                begun = at
            else:
                at = text.find(form[:1], at + 1)
    return begun if begun <= len(text) - least else len(text)
