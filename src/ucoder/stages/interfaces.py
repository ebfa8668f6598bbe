"""Stage 3: from a problem to its interface: imports, annotated signature, docstring (figure 3).

The prefill holds the signature that stage 1 settled, so the model only writes the contract. The
answer is normalised through the syntax tree: the imports are those that the annotations need, and a
function body is cut off if the model wrote one.
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

STOP = ("<SKELETON_END>", '\n    """\n')


def interface_prompt(draft: Draft) -> Prompt:
    """The prompt of stage 3."""
    head = draft.interface.source.removesuffix("    pass\n")
    signature = head.strip().split("\n")[-1]
    user = fill("interface", statement=f"{draft.statement}\nFunction Signature: {signature}")
    return Prompt(user, f'<SKELETON_START>\n{head}    """')


def parse_interface(text: str, draft: Draft) -> Interface | Refusal:
    """Parse a skeleton, prefill included. Accepts any text and never raises.

    The docstring's closing quotes may be missing, because they are a stop string.
    """
    body = between(text, "<SKELETON_START>", "<SKELETON_END>")
    if body is None:
        return Refusal(Reason.MALFORMED_INTERFACE, "no <SKELETON_START>")
    source = without_fences(body)
    module = parse_module(source) or parse_module(f'{source.rstrip()}\n    """\n')
    if module is None:
        return Refusal(Reason.MALFORMED_INTERFACE, "the skeleton does not parse")
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    wanted = [node for node in functions if node.name == draft.interface.name]
    if not wanted:
        names = ", ".join(node.name for node in functions) or "none"
        return Refusal(
            Reason.INTERFACE_MISMATCH, f"wanted {draft.interface.name}, got {names[:80]}"
        )
    docstring = ast.get_docstring(wanted[0], clean=False)
    if not docstring or not docstring.strip():
        return Refusal(Reason.MALFORMED_INTERFACE, "no docstring")
    cleaned = inspect.cleandoc(docstring).split("\n")
    indented = "\n".join(f"    {line}".rstrip() for line in cleaned)
    interface = read_function(wanted[0], indented)
    if isinstance(interface, Refusal):
        return Refusal(Reason.MALFORMED_INTERFACE, interface.detail)
    if [p.name for p in interface.parameters] != [p.name for p in draft.interface.parameters]:
        return Refusal(Reason.INTERFACE_MISMATCH, "parameters differ from the problem's")
    return interface
