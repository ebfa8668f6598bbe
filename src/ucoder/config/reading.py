"""From a preset or a YAML file, and `key=value` overrides, to a checked configuration."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ucoder.config.run import RunConfig
from ucoder.errors import ConfigError


def preset_names() -> list[str]:
    """The presets that ship with the package."""
    folder = resources.files("ucoder") / "presets"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(preset_or_path: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a preset or a YAML file and apply `key=value` overrides.

    Args:
        preset_or_path: A name from `preset_names()`, the path of a YAML file, or the folder of a
            run, for that run's settings.
        overrides: Such as `solutions.n=64`; values are read as YAML.

    Raises:
        ConfigError: Anything about it is wrong; the message lists every fault.
    """
    return parse_config(apply_overrides(_read(preset_or_path), overrides))


def parse_config(values: Mapping[str, Any]) -> RunConfig:
    """Validate plain values.

    Raises:
        ConfigError: With one line for every fault.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        faults = [_explain(fault) for fault in _all_faults(values, error)]
        raise ConfigError(
            f"{len(faults)} fault{'s' * (len(faults) > 1)} in the configuration:\n"
            + "\n".join(f"  {fault}" for fault in faults)
        ) from None


def _read(preset_or_path: str) -> dict[str, Any]:
    if preset_or_path in preset_names():
        shipped = resources.files("ucoder") / "presets" / f"{preset_or_path}.yaml"
        values = parse_yaml(shipped.read_text("utf-8"), preset_or_path)
    elif (manifest := Path(preset_or_path) / "manifest.json").is_file():
        return _read_manifest(manifest)
    elif Path(preset_or_path).is_file():
        values = read_yaml(Path(preset_or_path))
    else:
        raise ConfigError(
            f"{preset_or_path!r} is neither a preset ({', '.join(preset_names())}) nor a YAML file "
            f"nor a run's folder"
        )
    if values is None or values == {}:
        raise ConfigError(
            f"{preset_or_path} holds no settings, and the defaults alone are the paper's whole "
            f"run; write at least a model and problems.n, or name a preset: "
            f"{', '.join(preset_names())}"
        )
    if not isinstance(values, dict):
        raise ConfigError(
            f"{preset_or_path} holds a {type(values).__name__}; it must be a mapping of keys"
        )
    return values


def read_yaml(path: Path) -> Any:
    """The value that a YAML file holds; None for an empty one.

    Raises:
        ConfigError: The file cannot be read, is not text, is not YAML, or gives a key twice.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file in UTF-8; give a YAML file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, source: object) -> Any:
    """The value of a YAML text.

    Args:
        text: The text.
        source: Where it comes from, for messages.

    Raises:
        ConfigError: It is not YAML, or gives a key twice, of which the last one would win.
    """
    try:
        return yaml.load(text, _UniqueKeys)
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise ConfigError(f"{source} is not valid YAML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{source} is not valid YAML: it is nested too deeply") from None


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that gives a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if key.value in first:
                    raise yaml.YAMLError(
                        f"the key {key.value!r} is given twice, in lines {first[key.value]} and "
                        f"{line}; keep one of them"
                    )
                first[key.value] = line
        return super().construct_mapping(node, deep)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8"))["config"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} does not hold a run's settings: {error!r}") from None


def apply_overrides(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Put `key=value` overrides into plain values, in place; values are read as YAML.

    Raises:
        ConfigError: An override is not written like that.
    """
    faults = []
    for override in overrides:
        key, equals, raw = override.partition("=")
        if not equals or not key:
            faults.append(f"{override!r}: write it as key=value, such as solutions.n=64")
            continue
        *parents, leaf = key.split(".")
        node = values
        for parent in parents:
            child = node.get(parent)
            if not isinstance(child, dict):
                # `scale: ray` is short for its provider, which further settings must not drop.
                child = {"provider": child} if isinstance(child, str) else {}
                node[parent] = child
            node = child
        try:
            node[leaf] = parse_yaml(raw, repr(raw))
        except ConfigError as error:
            faults.append(f"{override!r}: {error}")
    if faults:
        raise ConfigError("\n".join(faults))
    return values


def _all_faults(values: Mapping[str, Any], error: ValidationError) -> list[Any]:
    """Unknown keys keep a section's own checks from running: look again without them."""
    faults = error.errors()
    known = copy.deepcopy(dict(values))
    for fault in faults:
        if fault["type"] == "extra_forbidden":
            node: Any = known
            for part in fault["loc"][:-1]:
                node = node[part]
            del node[fault["loc"][-1]]
    try:
        RunConfig.model_validate(known)
    except ValidationError as rest:
        seen = {(fault["loc"], fault["type"]) for fault in faults}
        faults += [f for f in rest.errors() if (f["loc"], f["type"]) not in seen]
    return faults


def _explain(fault: Any) -> str:
    """One validation fault in a line: where, what was got, what is allowed."""
    where = ".".join(str(part) for part in fault["loc"]) or "(whole)"
    if fault["type"] == "extra_forbidden":
        known = _fields_at(fault["loc"][:-1])
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
        return f"{where}: unknown key{hint}"
    message = fault_words(fault)
    if isinstance(fault["input"], str | int | float | bool) or fault["input"] is None:
        return f"{where}={fault['input']!r}: {message}"
    return f"{where}: {message}"


def fault_words(fault: Any) -> str:
    """What pydantic says of a value, in words for people who write YAML."""
    kind, got = fault["type"], fault["input"]
    if kind in ("tuple_type", "list_type"):
        return f"write a list, such as [{got}]" if isinstance(got, str | int) else "write a list"
    said = {
        "dict_type": "write a mapping of keys",
        "model_type": "write a mapping of keys",
        "model_attributes_type": "write a mapping of keys",
        "string_type": "must be text; write it in quotes",
        "int_parsing": "must be a whole number",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "bool_parsing": "must be true or false",
        "bool_type": "must be true or false",
    }
    message = said.get(kind) or fault["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be ", "must be ", 1)
    return f"{message[0].lower()}{message[1:]}"


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for part in location:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        nested = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)
