"""Stage 3: from a problem to its interface: imports, annotated signature, docstring (figure 3).

The prefill holds the signature that stage 1 settled, so the model only writes the contract. Where a
problem came from outside without a signature, the model writes both. The answer is normalised
through the syntax tree: the imports are those that the annotations need, and a function body is cut
off if the model wrote one. Lines of the docstring that repeat the prompt's own wording
(`ucoder.inputs.text.PromptWording`) are left out; where nothing else is left, the interface is
refused.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass

from ucoder.engines.protocol import Prompt
from ucoder.inputs.signatures import read_function
from ucoder.inputs.text import PromptWording, Refusal, between, sentences, without_fences
from ucoder.records import Interface, Reason
from ucoder.stages.problems import Draft
from ucoder.stages.prompts import fill
from ucoder.texts import parse_module

WHOLE_STOP = ("<SKELETON_END>",)
STOP = ("<SKELETON_END>", '\n    """\n')

_HEADING = re.compile(r"\s*(?:Args|Arguments|Parameters|Returns?|Raises|Examples?|Notes?):\s*$")
_LEAD = re.compile(r"\s*(?:[*`]{0,3}\w{1,80}[*`]{0,3} {0,4}(?:\([^()]{0,80}\))? {0,4}:\s*)?")
"""The indentation of a line, and the argument that it describes."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """An interface after stage 3.

    Attributes:
        interface: With its docstring.
        removed: `docstring lines` where some were left out because they were copied from the
            prompt.
    """

    interface: Interface
    removed: tuple[str, ...] = ()


def interface_prompt(draft: Draft) -> Prompt:
    """The prompt of stage 3."""
    head = draft.interface.source.removesuffix("    pass\n")
    signature = head.strip().split("\n")[-1]
    user = fill("interface", statement=f"{draft.statement}\nFunction Signature: {signature}")
    return Prompt(user, f'<SKELETON_START>\n{head}    """')


def whole_interface_prompt(statement: str) -> Prompt:
    """The prompt of stage 3 for a statement without a signature."""
    return Prompt(fill("interface", statement=statement), "<SKELETON_START>\n")


def parse_interface(text: str, draft: Draft) -> Skeleton | Refusal:
    """Parse a skeleton, prefill included. Accepts any text and never raises.

    The docstring's closing quotes may be missing, because they are a stop string.
    """
    functions = _functions(text)
    if isinstance(functions, Refusal):
        return functions
    wanted = [node for node in functions if node.name == draft.interface.name]
    if not wanted:
        names = ", ".join(node.name for node in functions) or "none"
        return Refusal(
            Reason.INTERFACE_MISMATCH, f"wanted {draft.interface.name}, got {names[:80]}"
        )
    skeleton = _documented(wanted[0], draft.statement)
    if isinstance(skeleton, Refusal):
        return skeleton
    if [p.name for p in skeleton.interface.parameters] != [
        p.name for p in draft.interface.parameters
    ]:
        return Refusal(Reason.INTERFACE_MISMATCH, "parameters differ from the problem's")
    return skeleton


def parse_whole_interface(text: str, statement: str) -> Interface | Refusal:
    """The same, for a problem that came without a signature."""
    functions = _functions(text)
    if isinstance(functions, Refusal):
        return functions
    if len(functions) != 1:
        return Refusal(Reason.MALFORMED_INTERFACE, f"{len(functions)} functions instead of one")
    skeleton = _documented(functions[0], statement)
    return skeleton if isinstance(skeleton, Refusal) else skeleton.interface


def _functions(text: str) -> list[ast.FunctionDef] | Refusal:
    """The functions of a skeleton."""
    body = between(text, "<SKELETON_START>", "<SKELETON_END>")
    if body is None:
        return Refusal(Reason.MALFORMED_INTERFACE, "no <SKELETON_START>")
    source = without_fences(body)
    module = parse_module(source) or parse_module(f'{source.rstrip()}\n    """\n')
    if module is None:
        return Refusal(Reason.MALFORMED_INTERFACE, "the skeleton does not parse")
    return [node for node in module.body if isinstance(node, ast.FunctionDef)]


def _documented(node: ast.FunctionDef, told: str) -> Skeleton | Refusal:
    """The interface of a function with a docstring; `told` is what the model was told."""
    docstring = ast.get_docstring(node, clean=False)
    if not docstring or not docstring.strip():
        return Refusal(Reason.MALFORMED_INTERFACE, "no docstring")
    cleaned = inspect.cleandoc(docstring).split("\n")
    wording = PromptWording(fill("interface", statement=""), told=told)
    kept = _without_copied(cleaned, wording)
    if not kept:
        return Refusal(Reason.COPIED_PROMPT, "the docstring is the prompt's wording")
    indented = "\n".join(f"    {line}".rstrip() for line in kept)
    interface = read_function(node, indented)
    if isinstance(interface, Refusal):
        return Refusal(Reason.MALFORMED_INTERFACE, interface.detail)
    return Skeleton(interface, ("docstring lines",) if kept != cleaned else ())


def _without_copied(lines: list[str], wording: PromptWording) -> list[str]:
    """A docstring's lines without copied sentences and the headings that stood over them alone."""
    kept = [line for line in (_own_words(line, wording) for line in lines) if line is not None]
    if len(kept) == len(lines):
        return kept
    found: list[str] = []
    for line in reversed(kept):
        # From below: what follows decides whether a heading or an empty line is still needed.
        follows = found[-1] if found else ""
        is_empty_part = not follows.strip() or _HEADING.match(follows)
        if _HEADING.match(line) and is_empty_part:
            continue
        if line.strip() or follows.strip():
            found.append(line)
    found.reverse()
    while found and not found[0].strip():
        del found[0]
    return found


def _own_words(line: str, wording: PromptWording) -> str | None:
    """A line without its copied sentences; None where all of them are."""
    lead = _LEAD.match(line)
    if lead is None or _HEADING.match(line) or not line[lead.end() :].strip():
        return line
    parts = sentences(line[lead.end() :])
    own = [part for part in parts if not wording.has(part)]
    if not own:
        return None
    return line if len(own) == len(parts) else f"{lead.group()}{' '.join(own)}"
