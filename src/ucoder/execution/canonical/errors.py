"""The errors of the canonical format; apart, because writer and reader both raise them."""

from __future__ import annotations


class CanonicalError(ValueError):
    """A value has no canonical text, or a text is not canonical."""


class NotRepresentable(CanonicalError):
    """The value is, or holds, something that is not plain data; the message is the type's name."""


class TooLarge(CanonicalError):
    """The canonical text would be longer than allowed."""
