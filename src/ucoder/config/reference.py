"""The configuration reference, written from the models: `python -m ucoder.config.reference`.

One table per section, one row per key: type and range, default, and the meaning from the field's
docstring. docs/configuration.md is this module's output, which a test checks. Rules across several
keys, which the models' validators hold, are not in the tables; a configuration that breaks one is
refused with a message that names the keys.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from ucoder.config.run import RunConfig
from ucoder.config.section import SamplingConfig, Section

INTRODUCTION = """\
# Configuration reference

<!-- Written by `make docs` from the models in src/ucoder/config; edits here are lost. -->

A configuration is a preset (`ucoder run demo`) or a YAML file (`ucoder run my.yaml`), followed by
any number of `key=value` overrides whose values are read as YAML:

```
ucoder run demo problems.n=100 solutions.n=64 'solutions.stopping={max_regret: 0.01}'
```

Every key has a default, so a file holds only what it changes. Unknown keys are refused, and every
fault is reported at once. [`examples/`](../examples/) holds two commented files to start from. The
configuration of a run is kept in its `manifest.json`.

Where a section has a `provider`, its name alone may stand for the section: `engine: vllm` means
`engine: {provider: vllm}`.
"""

SAMPLING = "How completions are sampled: see [sampling](#sampling)."


def reference() -> str:
    """The whole page, as Markdown."""
    parts = [INTRODUCTION, _table("", RunConfig())]
    for path, section in _sections("", RunConfig()):
        meaning = " ".join(inspect.cleandoc(type(section).__doc__ or "").split())
        parts.append(f"## {path}\n\n{meaning}\n\n{_table(f'{path}.', section)}")
    parts.append(
        "## sampling\n\n"
        "Every stage that samples has a `sampling` section of its own with these keys, such as "
        "`solutions.sampling.temperature`. The stage's table names the defaults that differ.\n\n"
        + _table("", SamplingConfig())
    )
    return "\n".join(parts)


def _sections(prefix: str, section: Section) -> Iterator[tuple[str, Section]]:
    """Every section below, in order, with the dotted path of its keys."""
    for name, field in type(section).model_fields.items():
        if (below := _section_of(field, getattr(section, name))) and name != "sampling":
            yield prefix + name, below
            yield from _sections(f"{prefix}{name}.", below)


def _section_of(field: FieldInfo, value: object) -> Section | None:
    """The section that a field holds, with its defaults; one that is null by default as well."""
    if isinstance(value, Section):
        return value
    for option in get_args(field.annotation):
        if isinstance(option, type) and issubclass(option, Section):
            return option()
    return None


def _table(prefix: str, section: Section) -> str:
    rows = ["| key | type and range | default | meaning |", "|---|---|---|---|"]
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        below = _section_of(field, value)
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        if below is None:
            cells = [_type(field), f"`{_literal(value)}`", meaning]
        elif name == "sampling":
            cells = ["section", _changed(value), f"{meaning} {SAMPLING}"]
        else:
            meaning = meaning or _first_sentence(below)
            anchor = (prefix + name).replace(".", "")
            cells = ["section" if value else "section or null", "" if value else "`null`",
                     f"{meaning} See [{prefix}{name}](#{anchor})."]  # fmt: skip
        rows.append(f"| `{prefix}{name}` | " + " | ".join(cell.strip() for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _first_sentence(section: Section) -> str:
    return inspect.cleandoc(type(section).__doc__ or "").split(". ")[0].rstrip(".") + "."


def _changed(sampling: SamplingConfig) -> str:
    """What a stage's sampling sets differently from the section's own defaults."""
    plain = SamplingConfig()
    names = [n for n in type(plain).model_fields if getattr(sampling, n) != getattr(plain, n)]
    return ", ".join(f"`{name}: {_literal(getattr(sampling, name))}`" for name in names)


def _literal(value: object) -> str:
    """A default as it is written in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if isinstance(value, dict):
        return "{}" if not value else str(value)
    return str(value)


def _type(field: FieldInfo) -> str:
    """Such as "integer, 1 to 4096" or "`trl`, `scripted` or `none`"."""
    annotation, metadata = _without_null(field.annotation, list(field.metadata))
    kind = _kind(annotation)
    limits = _range(metadata)
    null = type(None) in get_args(field.annotation)
    return f"{kind}, {limits}" + ", or null" * null if limits else kind + " or null" * null


def _without_null(annotation: Any, metadata: list[Any]) -> tuple[Any, list[Any]]:
    """The annotation without `| None` and `Annotated`, and the limits that it carried."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = Union[tuple(a for a in get_args(annotation) if a is not type(None))]  # noqa: UP007
    if hasattr(annotation, "__metadata__"):
        for item in annotation.__metadata__:
            metadata += item.metadata if isinstance(item, FieldInfo) else [item]
        annotation = annotation.__origin__
    return annotation, metadata


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(option) for option in arguments)
    if origin is Literal:
        if len(arguments) == 1:
            return f"`{arguments[0]}`"
        *most, last = (f"`{choice}`" for choice in arguments)
        return f"{', '.join(most)} or {last}"
    if origin is tuple:
        item, limits = _without_null(arguments[0], [])
        return f"list of {_kind(item)}" + (f" ({_range(limits)})" if _range(limits) else "")
    if origin is dict:
        return f"mapping of {' to '.join(_kind(a) for a in arguments)}"
    names = {"int": "integer", "float": "number", "str": "text", "bool": "true or false",
             "Path": "path", "date": "date"}  # fmt: skip
    return names[annotation.__name__]


def _range(metadata: list[Any]) -> str:
    """The limits in words: "1 to 10", "above 0", "above 0, at most 1"."""
    low = next((limit.ge for limit in metadata if isinstance(limit, Ge)), None)
    above = next((limit.gt for limit in metadata if isinstance(limit, Gt)), None)
    high = next((limit.le for limit in metadata if isinstance(limit, Le)), None)
    below = next((limit.lt for limit in metadata if isinstance(limit, Lt)), None)
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    said = {"at least": low, "above": above, "at most": high, "below": below}
    return ", ".join(f"{word} {limit:g}" for word, limit in said.items() if limit is not None)


if __name__ == "__main__":
    print(reference(), end="")
