"""The errors of the canonical format, in a file that both writer and reader can import."""

from __future__ import annotations


class CanonicalError(ValueError):
    """A value has no canonical text, or a text is not canonical."""


class NotRepresentable(CanonicalError):
    """The value is, or holds, something that is not plain data; the message is the type's name."""


class TooLarge(CanonicalError):
    """The canonical text would be longer than allowed."""
