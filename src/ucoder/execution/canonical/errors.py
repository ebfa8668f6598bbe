"""Why a value has no canonical text, or a text no value."""

from __future__ import annotations


class CanonicalError(ValueError):
    """The value has no canonical text, or the text is none."""


class NotRepresentable(CanonicalError):
    """The value is, or holds, something that is not plain data; the message is the type's name."""


class TooLarge(CanonicalError):
    """The canonical text would be longer than allowed."""
