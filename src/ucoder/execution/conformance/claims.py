"""What each provider claims to hold. The suite puts every claim to the test."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.properties import Property

_BOUNDED: Final = {
    Property.TIME,
    Property.CPU_LOOPS,
    Property.MEMORY,
    Property.OPEN_FILES,
    Property.OUTPUT,
    Property.CRASHES,
    Property.RESULTS,
    Property.DETERMINISM,
}
"""What resource limits and a fork for each program give, without any isolation."""

CLAIMS: Final[dict[str, frozenset[Property]]] = {
    "bubblewrap": frozenset(Property),
    "landlock": frozenset(Property) - {Property.HOST_METADATA, Property.DISK},
    "unsafe-process": frozenset(_BOUNDED),
    "sandbox-fusion": frozenset({Property.TIME, Property.CPU_LOOPS, Property.RESULTS}),
}
"""By the provider's name. For a server it is what this side of the connection sees to."""


def claims(provider: str) -> frozenset[Property]:
    """Say what a provider holds; nothing where it is unknown."""
    return CLAIMS.get(provider, frozenset())
