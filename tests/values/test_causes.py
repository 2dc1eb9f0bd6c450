"""Exceptions and what led to them, read from what is kept of them."""

from __future__ import annotations

import pytest

from coflux.encoded import Frame
from coflux.executor.causes import cause_chain, members_of, notes_of, users_frames
from coflux.failures import NoBlobs, capture, rebuild


def failing() -> None:
    raise KeyError("page")


def chained() -> None:
    try:
        failing()
    except KeyError as error:
        raise ValueError("no page:\nnone at all") from error


def handled() -> None:
    try:
        chained()
    except ValueError:
        raise OSError from None


def replaced() -> None:
    try:
        chained()
    except ValueError:
        failing()


def chain(call: object) -> list[tuple[str, str, str, list[str]]]:
    assert callable(call)
    with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever it is)
        call()
    causes = cause_chain(capture(caught.value, NoBlobs()))
    return [(one.link, one.type, one.message, [frame.function for frame in one.frames][1:]) for one in causes]


VALUE = ("ValueError", "no page:\nnone at all")
KEY = ("KeyError", "'page'")


@pytest.mark.parametrize(
    ("call", "causes"),
    [
        (failing, [("", *KEY, ["failing"])]),
        (chained, [("", *VALUE, ["chained"]), ("cause", *KEY, ["failing"])]),
        (handled, [("", "OSError", "", ["handled"])]),
        (
            replaced,
            [("", *KEY, ["replaced", "failing"]), ("context", *VALUE, ["chained"]), ("cause", *KEY, ["failing"])],
        ),
    ],
)
def test_chains(call: object, causes: list[tuple[str, str, str, list[str]]]) -> None:
    """The first frame, that of the one who caught it, is left out here."""
    assert chain(call) == causes


def test_an_exception_of_another_process_is_a_cause() -> None:
    """With its own frames and their source."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        chained()
    remote = rebuild(capture(caught.value, NoBlobs()))
    with pytest.raises(ValueError) as again:  # noqa: PT011
        raise remote
    causes = cause_chain(capture(again.value, NoBlobs()))
    assert [(one.link, one.type) for one in causes] == [
        ("", "ValueError"),
        ("cause", "ValueError"),
        ("cause", "KeyError"),
    ]
    assert causes[1].frames[-1].source == 'raise ValueError("no page:\\nnone at all") from error'
    assert causes[2].frames[-1].function == "failing"


def test_the_users_frames() -> None:
    def frame(file: str) -> Frame:
        return Frame(file, 1, "f", "")

    library, standard = frame("/v/lib/python3.11/site-packages/pandas/x.py"), frame("/usr/lib/python3.11/json/x.py")
    mine = frame("/home/me/app.py")
    assert users_frames([mine, library, standard]) == [mine]
    assert users_frames([library, standard]) == [standard]
    assert users_frames([]) == []


def test_notes_and_the_members_of_a_group() -> None:
    """Members have chains of their own, and may be groups."""

    def several() -> None:
        members: list[Exception] = []
        for call in (chained, failing):
            try:
                call()
            except Exception as error:  # noqa: BLE001
                error.add_note("seen")
                members.append(error)
        raise ExceptionGroup("outer", [*members, ExceptionGroup("inner", [OSError("z")])])

    with pytest.raises(ExceptionGroup) as caught:
        several()
    caught.value.add_note("first\nsecond")
    failure = capture(caught.value, NoBlobs())
    assert notes_of(failure) == "first\nsecond"
    first, second, third = members_of(failure)
    assert [(one.link, one.type, one.message) for one in first.chain] == [
        ("", "ValueError", "no page:\nnone at all\nseen"),
        ("cause", *KEY),
    ]
    assert first.chain[1].frames[-1].function == "failing"
    assert [(one.type, one.message) for one in second.chain] == [("KeyError", "'page'\nseen")]
    assert third.chain[0].message == "inner (1 sub-exception)"
    assert [member.chain[0].type for member in third.members] == ["OSError"]
    with pytest.raises(KeyError) as plain:
        failing()
    assert (notes_of(capture(plain.value, NoBlobs())), members_of(capture(plain.value, NoBlobs()))) == ("", [])
