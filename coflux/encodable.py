"""Names that are sent as text."""

from __future__ import annotations

__all__ = ["check_encodable"]


def check_encodable(what: str, text: str) -> None:
    """Refuse text without a UTF-8 form. Python stands for bytes that are no text with lone surrogates.

    Args:
        what: the text, as the error names it.

    Raises:
        ValueError: `text` has a lone surrogate.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{what} must be text that UTF-8 can encode, but has a lone surrogate: {text!r}; decode its bytes with "
            "errors='replace', say"
        ) from None
