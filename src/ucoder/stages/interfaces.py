"""Stage 3: from a problem to its interface: imports, annotated signature, docstring (figure 3).

The prefill holds the signature that stage 1 settled, so the model only writes the contract. Where a
problem came from outside without a signature, the model writes both. The answer is normalised
through the syntax tree: the imports are those that the annotations need, and a function body is cut
off if the model wrote one.
"""

from __future__ import annotations

import ast
import inspect

from ucoder.engines.protocol import Prompt
from ucoder.inputs.signatures import read_function
from ucoder.inputs.text import Refusal, between, without_fences
from ucoder.records import Interface, Reason
from ucoder.stages.problems import Draft
from ucoder.stages.prompts import fill
from ucoder.texts import parse_module

WHOLE_STOP = ("<SKELETON_END>",)
STOP = ("<SKELETON_END>", '\n    """\n')


def interface_prompt(draft: Draft) -> Prompt:
    """The prompt of stage 3."""
    head = draft.interface.source.removesuffix("    pass\n")
    signature = head.strip().split("\n")[-1]
    user = fill("interface", statement=f"{draft.statement}\nFunction Signature: {signature}")
    return Prompt(user, f'<SKELETON_START>\n{head}    """')


def whole_interface_prompt(statement: str) -> Prompt:
    """The prompt of stage 3 for a statement without a signature."""
    return Prompt(fill("interface", statement=statement), "<SKELETON_START>\n")


def parse_interface(text: str, draft: Draft) -> Interface | Refusal:
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
    interface = _documented(wanted[0])
    if isinstance(interface, Refusal):
        return interface
    if [p.name for p in interface.parameters] != [p.name for p in draft.interface.parameters]:
        return Refusal(Reason.INTERFACE_MISMATCH, "parameters differ from the problem's")
    return interface


def parse_whole_interface(text: str) -> Interface | Refusal:
    """The same, for a problem that came without a signature."""
    functions = _functions(text)
    if isinstance(functions, Refusal):
        return functions
    if len(functions) != 1:
        return Refusal(Reason.MALFORMED_INTERFACE, f"{len(functions)} functions instead of one")
    return _documented(functions[0])


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


def _documented(node: ast.FunctionDef) -> Interface | Refusal:
    """The interface of a function with a docstring."""
    docstring = ast.get_docstring(node, clean=False)
    if not docstring or not docstring.strip():
        return Refusal(Reason.MALFORMED_INTERFACE, "no docstring")
    cleaned = inspect.cleandoc(docstring).split("\n")
    indented = "\n".join(f"    {line}".rstrip() for line in cleaned)
    interface = read_function(node, indented)
    if isinstance(interface, Refusal):
        return Refusal(Reason.MALFORMED_INTERFACE, interface.detail)
    return interface
