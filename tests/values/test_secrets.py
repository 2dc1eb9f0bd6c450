"""Secrets in values: sent as references, and in no preview, projection or error that shows a value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import coflux as cf
from coflux import values
from coflux.encoded import json_of, preview_of, summary_of
from coflux.executor import log_values
from coflux.executor.blobs import FileBlobs
from coflux.executor.vault import Vault
from coflux.failures import capture, rebuild
from coflux.keys import key_of
from coflux.redaction import THIS_PROCESS, Redactor
from coflux.secret import SecretForgotten, keeping, recall
from coflux.values import Reference, UnsendableValue, Value, decode, encode

HIDDEN = "hidden-in-values-1"
DIGITS = 918273645546372819
HELD = cf.Secret(HIDDEN)
VAULT = Vault()


@pytest.fixture(autouse=True)
def known(no_secrets: None) -> None:
    THIS_PROCESS.add((HIDDEN, str(DIGITS)))


def keep(value: str) -> str:
    """As the engine does it, and tells its processes."""
    known = VAULT.keep(value)
    recall(VAULT.named([known]))
    return known


def test_a_secret_is_a_reference(blobs: FileBlobs) -> None:
    named = cf.Secret.env("NAMED_ELSEWHERE")
    value = [HELD, {"named": named}, HELD]
    with keeping(keep):
        encoded = encode(value, blobs)
        assert key_of([HELD]) == key_of([cf.Secret(HIDDEN)]) != key_of([cf.Secret("another-hidden-one")])
        assert key_of(named) == key_of(cf.Secret.env("NAMED_ELSEWHERE")) != key_of(cf.Secret.env("OTHER"))
    assert encoded.references == (Reference("secret", VAULT.keep(HIDDEN)), Reference("secret", "env:NAMED_ELSEWHERE"))
    assert HIDDEN.encode() not in encoded.data
    assert preview_of(encoded) == "[Secret('***'), {'named': Secret.env('NAMED_ELSEWHERE')}, Secret('***')]"
    assert json_of(encoded) == '[{"$secret":null},{"named":{"$secret":"NAMED_ELSEWHERE"}},{"$secret":null}]'
    assert decode(encoded, blobs) == value


def test_a_secret_without_an_engine_is_not_sent(blobs: FileBlobs) -> None:
    with pytest.raises(UnsendableValue, match=r"argument: Secret\('\*\*\*'\) is sent as a reference"):
        encode(HELD, blobs, name="argument")


def test_a_secret_that_the_engine_has_forgotten(blobs: FileBlobs) -> None:
    with keeping(lambda value: "gone"):
        encoded = encode(HELD, blobs)
    with pytest.raises(SecretForgotten, match=r"memory only, and the engine has been restarted .* Secret\.env\(NAME\)"):
        decode(encoded, blobs)


@pytest.mark.parametrize(
    ("value", "preview", "json"),
    [
        (HIDDEN, "'***'", '"***"'),
        ({HIDDEN: [f"<{HIDDEN}>", DIGITS]}, "{'***': ['<***>', ***]}", '{"***":["<***>","***"]}'),
        ((HIDDEN,), "('***',)", '["***"]'),
        (HIDDEN.encode(), "b'***'", None),
        (DIGITS, "***", '"***"'),
        ([None, True, 1.5, "hidden"], "[None, True, 1.5, 'hidden']", '[null,true,1.5,"hidden"]'),
    ],
)
def test_previews_and_projections_show_none(blobs: FileBlobs, value: object, preview: str, json: str | None) -> None:
    encoded = encode(value, blobs)
    assert (preview_of(encoded), json_of(encoded)) == (preview, json)
    assert decode(encoded, blobs) == value


@dataclass
class Holder:
    note: str
    held: list[Any]


@pytest.mark.parametrize("secret", ["e", "n", "t", '"', "*", "$", "1", "[", "null", "secret"])
def test_a_short_secret_leaves_the_json_around_strings_alone(blobs: FileBlobs, secret: str) -> None:
    THIS_PROCESS.add([secret])
    value = [None, True, False, 1, 1.5, 10**20, "***", Holder(f"<{secret}>", [cf.Secret.env("VARIABLE"), {}])]
    projection = json_of(encode(value, blobs))
    assert projection is not None
    *plain, mark, holder = json.loads(projection)
    assert (plain, mark) == ([None, True, False, 1, 1.5, 10**20], "***")
    assert list(holder.values()) == ["<***>", [{"$secret": "VARIABLE"}, {}]]
    assert json_of(encode({secret: [1, "x"], "1.0": 2}, blobs)) in (
        '{"***":[1,"x"],"1.0":2}',
        '{"***":[1,"x"],"***.0":2}',
    )


@pytest.mark.parametrize("before", range(180, 202))
def test_a_preview_that_ends_in_a_secret(blobs: FileBlobs, before: int) -> None:
    """Wherever it is cut."""
    text = preview_of(encode(["x" * before + HIDDEN * 2], blobs))
    assert "hid" not in text
    assert len(text) <= 200


@pytest.mark.parametrize(
    "value",
    [
        "\n".join(["x" * offset + HIDDEN for offset in range(130)]),
        [f"{'x' * 250} {HIDDEN}", {"a": "y" * 100 + HIDDEN}],
        (b"\x00" * 20 + HIDDEN.encode()) * 20,
        np.array([["x" * offset + HIDDEN] for offset in range(15, 35)], dtype=object),
        np.array(["x" * offset + HIDDEN for offset in range(35)]),
    ],
    ids=["text", "containers", "bytes", "objects", "strings"],
)
def test_summaries_show_none(blobs: FileBlobs, value: object) -> None:
    """Lines and cells are cut, too."""
    summary = summary_of(encode(value, blobs))
    assert summary is not None
    assert "hid" not in summary


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({HIDDEN: f"<{HIDDEN}>", "n": DIGITS}, {"***": "<***>", "n": "***"}),
        ({"nested": [{"$secret": HIDDEN}, (HIDDEN,)]}, {"nested": [{"$secret": "***"}, ["***"]]}),
        ({"n": [8, 7, 6, 5]}, {"***": "***"}),  # `[8,7,6,5]` is a secret, which none of the numbers is
    ],
)
def test_log_values_show_none(values: dict[str, object], shown: object) -> None:
    THIS_PROCESS.add(["[8,7,6,5]"])
    encoded, _ = log_values.encode(values)
    assert log_values.decode(encoded) == shown
    assert HIDDEN.encode() not in encoded


def test_the_text_of_an_error_shows_none(blobs: FileBlobs) -> None:
    """Its arguments are its text, unless they are objects; attributes as well."""
    error = ValueError(f"no {HIDDEN}", [HIDDEN, 5], HIDDEN.encode())
    error.add_note(HIDDEN)
    error.hint = {"key": HIDDEN}  # type: ignore[attr-defined]
    failure = capture(ExceptionGroup(f"of {HIDDEN}", [error]), blobs)
    assert HIDDEN not in failure.message + failure.traceback
    rebuilt = rebuild(failure, blobs)
    assert isinstance(rebuilt, ExceptionGroup)
    member: Any = rebuilt.exceptions[0]
    assert (rebuilt.message, member.args[:2]) == ("of ***", ("no ***", ["***", 5]))
    assert (member.hint, member.__notes__[0]) == ({"key": "***"}, "***")
    assert member.args[2] == HIDDEN.encode()


def test_none_is_none_whatever_is_secret(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "THIS_PROCESS", Redactor(["null"]))
    assert encode(None, blobs) == Value("json", b"null", 4)
