"""Stage 1: from a topic to a problem, in the format of figure 3.

The assistant's turn is prefilled with `<PROBLEM_START>` and `Title:`, which makes a small model
keep to the format far more often than instructions alone. Problems that a pure function cannot
solve are refused: those that ask for input or output, randomness, the time or the network, or that
return nothing. The filter matches words, not meaning, so it refuses a few good problems too; every
refusal is counted by its reason.

Text that is copied from the prompt's own wording is recognised by comparing it with the prompt
(`ucoder.inputs.text.PromptWording`): a copied title or description refuses the problem, a copied
example or hint is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from ucoder.engines.protocol import Prompt
from ucoder.inputs.signatures import read_signature
from ucoder.inputs.text import (
    COLONS,
    PromptWording,
    Refusal,
    between,
    sentences,
    without_fences,
)
from ucoder.records import Interface, Reason
from ucoder.stages.prompts import fill
from ucoder.stages.topics import Topic
from ucoder.texts import words

PREFILL = "<PROBLEM_START>\nTitle:"
STOP = ("<PROBLEM_END>", "<PROBLEM_START>", "<RATING_START>")

_LABEL = re.compile(
    r"^[ \t\u3000>#*_-]{0,8}"
    r"(title|description|function signature|signature|examples?|input|output|hint)"
    rf"[ \t\u3000]{{0,4}}\d{{0,2}}[ \t\u3000]{{0,4}}[*_]{{0,3}}[{COLONS}][*_]{{0,3}}",
    re.IGNORECASE | re.MULTILINE,
)
_AFTER_HINT = re.compile(r"\n\s*\n|\n[ \t]*(?:def|class|import|from)[ \t]")
"""Where a hint ends: an empty line, or code, which may be the whole solution."""
_SIGNATURE = re.compile(r"def\s+[^\n]{1,400}")

_NON_PROBLEMS: tuple[tuple[Reason, re.Pattern[str]], ...] = (
    (
        Reason.INPUT_OUTPUT,
        re.compile(
            r"\bprints?\b|\bprinting\b|\bprinted\b|\bstdin\b|\bstdout\b|\buser input\b|"
            r"\binput from the user\b|\bthe user (?:to|enters?|inputs?|types?)\b|\bprompts? the\b|"
            r"\bconsole\b|\bfile_?(?:name|path)s?\b|\bfile (?:name|path)s?\b|"
            r"\b(?:reads?|writes?|opens?|saves?|loads?)\b.{0,20}\bfiles?\b|\bcsv file\b|"
            r"\bdatabase\b"
        ),
    ),
    (
        Reason.NONDETERMINISTIC,
        re.compile(
            r"\brandom(?:ly|ness|ize|ise)?\b|\bshuffl\w*|\broll(?:s|ing)? (?:a|the) di[ce]e?\b"
        ),
    ),
    (
        Reason.TIME,
        re.compile(
            r"\bcurrent (?:time|date|day|month|year)\b|\btoday(?:'s)?\b|\bsystem (?:time|clock)\b|"
            r"\bdatetime\b"
        ),
    ),
    (
        Reason.NETWORK,
        re.compile(
            r"\bhttps?\b|\bapi\b|\bsockets?\b|\bdownloads?\b|\bweb ?(?:page|site|server)s?\b|"
            r"\binternet\b|\burls? (?:request|content)\b"
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """A problem after stage 1.

    Attributes:
        title: Its title.
        statement: Title, description, example and hint in one fixed layout.
        description: The description alone, for finding duplicates.
        example: The example as `call == output`, or "" where there is none.
        interface: The signature, without a docstring as yet.
        removed: Optional parts that were left out because they were copied from the prompt.
    """

    title: str
    statement: str
    description: str
    example: str
    interface: Interface
    removed: tuple[str, ...] = ()


def problem_prompt(topic: Topic) -> Prompt:
    """The prompt of stage 1."""
    return Prompt(fill("problem", topic=topic.text), PREFILL)


def parse_problem(text: str, min_description_words: int = 8) -> Draft | Refusal:
    """Parse a problem in figure 3's format, prefill included. Accepts any text, never raises."""
    body = between(text, "<PROBLEM_START>", "<PROBLEM_END>")
    if body is None:
        return Refusal(Reason.MALFORMED_PROBLEM, "no <PROBLEM_START>")
    fields = _fields(without_fences(body))
    missing = [name for name in ("title", "description", "signature") if not fields.get(name)]
    if missing:
        return Refusal(Reason.MALFORMED_PROBLEM, f"missing: {', '.join(missing)}")
    title, description = fields["title"].split("\n")[0].strip(' *#`"'), fields["description"]
    for text in (title, *sentences(description)):
        if _wording().has(text):
            return Refusal(Reason.COPIED_PROMPT, f"{text[:80]!r} is the prompt's wording")
    if len(words(description.replace("_", " "))) < min_description_words:
        return Refusal(Reason.DESCRIPTION_TOO_SHORT, f"{description[:80]!r}")
    signature = _SIGNATURE.search(fields["signature"])
    if signature is None:
        return Refusal(Reason.BAD_SIGNATURE, f"no `def` in {fields['signature'][:80]!r}")
    interface = read_signature(signature.group())
    if isinstance(interface, Refusal):
        return interface
    asked = f"{title}\n{description}\n{interface.name.replace('_', ' ')}".lower()
    for reason, pattern in _NON_PROBLEMS:
        if found := pattern.search(asked):
            return Refusal(reason, f"mentions {found.group()!r}")
    fields["hint"] = _AFTER_HINT.split(fields.get("hint", ""), maxsplit=1)[0].strip()
    removed = _remove_copied(fields)
    example = ""
    parts = [f"Title: {title}", f"Description: {description}"]
    if fields.get("input") and fields.get("output"):
        call, output = (fields[name].strip().strip("`").strip() for name in ("input", "output"))
        parts.append(f"Example:\nInput: {call}\nOutput: {output}")
        example = f"{call} == {output}"
    if fields.get("hint"):
        parts.append(f"Hint: {fields['hint']}")
    return Draft(title, "\n".join(parts), description, example, interface, removed)


@cache
def _wording() -> PromptWording:
    return PromptWording(fill("problem", topic=""))


def _remove_copied(fields: dict[str, str]) -> tuple[str, ...]:
    """Remove the optional fields that repeat the prompt's wording; returns which these were."""
    removed = []
    example = (fields.get("input", ""), fields.get("output", ""))
    if all(example) and any(map(_wording().has, example)):
        del fields["input"]
        removed.append("example")
    hint = fields.get("hint", "")
    if hint and any(map(_wording().has, sentences(hint))):
        del fields["hint"]
        removed.append("hint")
    return tuple(removed)


def _fields(body: str) -> dict[str, str]:
    """The labelled parts of a problem; where a label is repeated, the first one counts."""
    found = list(_LABEL.finditer(body))
    fields: dict[str, str] = {}
    for label, after in zip(found, [*found[1:], None], strict=False):
        name = label.group(1).lower().removeprefix("function ").rstrip("s")
        value = body[label.end() : after.start() if after else len(body)].strip()
        fields.setdefault(name, value)
    return fields
