"""Settings as plain values: YAML as people expect it, and dotted overrides."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from signseq.errors import ConfigError

__all__ = ["apply_overrides", "flatten", "parse_yaml", "read_text"]


class _Loader(yaml.SafeLoader):
    """YAML as people expect it: `3e-4` is a number, and a key given twice is a mistake."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue  # `<<: *anchor` is no key
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(
                None, None, f"{key!r} can't be a key; quote the value", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is given twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_repeats)


def read_text(path: Path) -> str:
    """Read a config file.

    Raises:
        ConfigError: If it can't be read; names the configs that are near.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as fault:
        near = (
            sorted(str(other) for other in path.parent.glob("*.yaml"))
            if path.parent.is_dir()
            else []
        )
        hint = f" In {path.parent} there are: {', '.join(near[:8])}." if near else ""
        raise ConfigError(f"{path}: no such config file.{hint}") from fault
    except (OSError, UnicodeDecodeError) as fault:
        if path.is_dir():
            raise ConfigError(
                f"{path}: this is a folder; if it is a checkpoint, name its config.yaml."
            ) from fault
        raise ConfigError(f"{path}: the config file can't be read ({fault}).") from fault


def parse_yaml(text: str, *, place: str) -> Any:
    """Parse YAML; nothing in it can run code.

    Args:
        text: The YAML.
        place: What to call it in messages.

    Raises:
        ConfigError: If it is not valid, or a key is given twice.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f"{place}, line {mark.line + 1}" if mark else place
        problem = str(getattr(fault, "problem", None) or fault)
        if "'\\t'" in problem:
            problem = "a tab; indent with spaces, not tabs"
        raise ConfigError(f"{where}: not valid YAML ({problem}).") from fault


def apply_overrides(settings: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Copy settings, with dotted overrides such as `training.learning_rate=1e-4` put in.

    Raises:
        ConfigError: If an override has no `=`, or its value is not valid YAML.
    """
    merged = _copy(settings)
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key:
            raise ConfigError(
                f"Override {override!r}: expected key=value, e.g. training.learning_rate=1e-4."
            )
        *sections, last = key.split(".")
        here = merged
        for section in sections:
            if not isinstance(here.get(section), dict):
                here[section] = {}
            here = here[section]
        here[last] = parse_yaml(value, place=f"override {override!r}")
    return merged


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted keys; an empty section has none."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _copy(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _copy(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
    }
