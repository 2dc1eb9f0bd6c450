"""Secrets in texts: found in every form, replaced completely, and never shown in part."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import closing
from itertools import count
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.executor.output import OutputPipe
from coflux.executor.rows import LogRow
from coflux.executor.vault import Vault
from coflux.logs import Level
from coflux.redaction import MARK, Redactor, environment_secrets, is_secret_name

SECRET = 'quote\' "quotes" back\\slash\nsecond line\tümlaut€𝄞'

# Few different characters, so that secrets overlap, repeat and begin each other.
TEXT = st.text("abé", max_size=40)
SECRETS = st.lists(st.text("abé", min_size=1, max_size=6), max_size=4)


def covered(text: str, secrets: list[str]) -> str:
    """`text` with a `*` for each character that belongs to an occurrence of a secret."""
    hidden = {
        index
        for secret in secrets
        for start in range(len(text))
        if text.startswith(secret, start)
        for index in range(start, start + len(secret))
    }
    return "".join(["*" if index in hidden else character for index, character in enumerate(text)])


def marked(text: str) -> str:
    """What `covered` has hidden, and marks side by side, as one mark."""
    return re.sub(r"\*+", MARK, text)


@given(TEXT, SECRETS)
def test_all_of_every_occurrence_is_replaced_and_nothing_else(text: str, secrets: list[str]) -> None:
    redactor = Redactor(secrets)
    assert redactor.text(text) == marked(covered(text, secrets))
    assert redactor.finds(text) == redactor.finds(text.encode()) == (redactor.text(text) != text)


@given(TEXT, SECRETS)
def test_what_is_held_at_any_point_can_be_redacted_apart(text: str, secrets: list[str]) -> None:
    """At every byte, within characters as well: neither part shows anything that the whole would not."""
    redactor = Redactor(secrets)
    data = text.encode()
    for end in range(len(data) + 1):
        begun = data[:end]
        shown = len(begun) - redactor.held(begun)
        parts = [part.decode(errors="surrogateescape") for part in (data[:shown], data[shown:])]
        redacted = "".join(map(redactor.text, parts)).encode(errors="surrogateescape").decode()
        assert marked(redacted) == marked(covered(text, secrets))


@given(TEXT, SECRETS, st.integers(1, 4))
def test_a_text_that_is_cut_does_not_end_with_a_beginning(text: str, secrets: list[str], least: int) -> None:
    begun = 0
    for length in range(1, len(text) + 1):
        if any(len(secret) > length and secret.startswith(text[-length:]) for secret in secrets):
            begun = length
    expected = covered(text, secrets)
    if begun >= least:
        expected = expected[: len(text) - begun] + "*" * begun
    assert Redactor(secrets).text(text, cut=least) == marked(expected)


@pytest.mark.parametrize(
    "write",
    [
        str,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps({"a": json.dumps({"b": text})}),
        repr,
        ascii,
        lambda text: repr(text.replace('"', "")) + repr(text),
        lambda text: repr(repr(text)),
        lambda text: repr(text.encode()),
        lambda text: repr([json.dumps(text)]),
    ],
)
def test_escaped_secrets_are_found(write: Callable[[str], str]) -> None:
    redactor = Redactor([SECRET, SECRET.replace('"', "")])
    shown = redactor.text(f"before {write(SECRET)} after")
    assert MARK in shown
    assert [word for word in ("quote", "slash", "line", "mlaut") if word in shown] == []
    assert (shown[:7], shown[-6:]) == ("before ", " after")


LONG = st.text("abé/+ ?>", min_size=8, max_size=16).filter(lambda secret: secret.strip() == secret)


@given(LONG, st.binary(max_size=6), st.binary(max_size=6), st.sampled_from([b64encode, urlsafe_b64encode]))
def test_base64_shows_none_of_the_bits_that_are_the_secrets_alone(
    secret: str, before: bytes, after: bytes, encode: Callable[[bytes], bytes]
) -> None:
    """A character of six bits is left where another byte has a part in it, unless that is no more than zeros."""
    data = before + secret.encode() + after
    begin, end = len(before) * 8, (len(data) - len(after)) * 8
    bits = "".join([f"{byte:08b}" for byte in data]) + "0000"
    expected = "".join(
        [
            "." if begin <= at < end and "1" not in bits[max(end, at) : at + 6] else character
            for at, character in zip(range(0, len(bits), 6), encode(data).decode().rstrip("="), strict=False)
        ]
    )
    shown = Redactor([secret]).text(encode(data).decode())
    assert shown.rstrip("=") == re.sub(r"\.+", MARK, expected)


@given(LONG, st.sampled_from([lambda text: quote(text, safe=""), quote, quote_plus, lambda text: text.encode().hex()]))
def test_secrets_in_urls_and_in_hex_are_found(secret: str, encode: Callable[[str], str]) -> None:
    redactor = Redactor([secret])
    assert redactor.text(f"<{encode(secret)}>") == "<***>"
    assert redactor.finds(f"<{encode(secret)}>".encode())


@given(LONG, st.binary(max_size=4), st.binary(max_size=4))
def test_encoded_secrets_that_are_written_in_two_parts(secret: str, before: bytes, after: bytes) -> None:
    redactor = Redactor([secret])
    data = b64encode(before + secret.encode() + after)
    for end in range(len(data) + 1):
        shown = end - redactor.held(data[:end])
        assert MARK in redactor.text(data[:shown].decode()) + redactor.text(data[shown:].decode())
        apart = redactor.text(data[:shown].decode()) + redactor.text(data[shown:].decode())
        assert re.sub(r"(\*{3})+", MARK, apart) == redactor.text(data.decode())


def test_short_secrets_count_only_as_they_are() -> None:
    assert Redactor(["a/b"]).text(f"a/b {quote('a/b', safe='')} {b64encode(b'a/b').decode()}") == "*** a%2Fb YS9i"
    assert Redactor(["long secret"]).text("chance 6", cut=1) == "chance 6"  # hex would begin so


def test_longer_lines_count_by_themselves() -> None:
    """Also where the environment has escapes for the line ends."""
    for end in ("\n", "\r\n", "\\n"):
        redactor = Redactor([end.join(["-----BEGIN KEY-----", "MIIEvQIBADANBg", "short", "-----END KEY-----"])])
        assert redactor.text("a MIIEvQIBADANBg b") == "a *** b"
        assert redactor.text("short") == "short"


def test_plain_data_keeps_its_form() -> None:
    redactor = Redactor(["token-1", "token-2", "4711"])
    data = {"token-1": [1, 4711, 1.5, None, True], "token-2": ("a token-1", b"token-1"), "other": {"token-1"}}
    assert redactor.data(data) == {
        "***": [1, "***", 1.5, None, True],
        "*** (1)": ("a ***", b"token-1"),
        "other": {"token-1"},
    }
    assert Redactor().data(data) == data


def test_secrets_of_an_environment() -> None:
    environment = {"API_KEY": "12345678", "SHORT_TOKEN": "1234567", "MONKEY": "12345678", "my.password": "abcdefghi"}
    assert environment_secrets(environment) == {"12345678", "abcdefghi"}
    assert [name for name in environment if not is_secret_name(name)] == ["MONKEY"]


def test_an_id_tells_nothing_and_is_that_of_the_engine() -> None:
    vault, other = Vault(), Vault()
    redactor = vault.redactor(frozenset({"of-the-environment"}))
    known = vault.keep("a secret")
    assert vault.keep("a secret") == known != vault.keep("another secret")
    assert other.keep("a secret") != known
    assert redactor.text("a secret of-the-environment") == "*** ***"
    assert vault.redactor(frozenset({"of-the-environment"})) is redactor
    assert list(vault.since(1).values()) == ["another secret"]
    assert vault.named([known, "unknown"]) == {known: "a secret"}


def test_output_rests_and_ends_in_the_middle_of_a_secret() -> None:
    """A line that rests is shown up to what may be a secret's beginning; so is one that never ends."""
    rows: list[LogRow] = []
    read, write = os.pipe()
    pipe = OutputPipe(read, Level.STDOUT, rows.append, count(), Redactor(["hunter2hunter2"]))
    with closing(pipe):
        pipe.belongs_to(("R", 1, 1))
        os.write(write, b"it is hunter")
        pipe.read(0.0)
        pipe.show_unfinished(10.0)
        pipe.show_unfinished(20.0)
        os.write(write, b"2hunter2 or hunter3")
        pipe.read(20.0)
        pipe.show_unfinished(30.0)
        os.write(write, b" or hunter")
        os.close(write)
        pipe.drain(30.0)
    assert [row.template for row in rows] == ["it is ", "*** or hunter3", " or ***"]
