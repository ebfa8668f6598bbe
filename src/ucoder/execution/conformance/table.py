"""The table of what each provider claims, as it stands in the documentation."""

from __future__ import annotations

from typing import Final

from ucoder.execution.conformance.attacks import ATTACKS
from ucoder.execution.conformance.claims import CLAIMS
from ucoder.execution.conformance.properties import Property

BEGIN: Final = "<!-- conformance table: begin -->"
END: Final = "<!-- conformance table: end -->"


def claims_table() -> str:
    """Write the table in Markdown: a row a property, a column a provider."""
    providers = list(CLAIMS)
    lines = [
        f"| property | attacks | {' | '.join(f'`{name}`' for name in providers)} |",
        "|---|---:|" + ":-:|" * len(providers),
    ]
    for property in Property:
        n_attacks = sum(attack.property is property for attack in ATTACKS)
        cells = ["holds" if property in CLAIMS[name] else "-" for name in providers]
        words = f"**{property.title}**: {property.value}"
        lines.append(f"| {words} | {n_attacks} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """Put the table between its two marks in a text.

    Raises:
        ValueError: The marks are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{claims_table()}\n{END}{after}"
