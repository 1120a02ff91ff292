"""What `model.lora_config` may hold: peft's own fields, but for those that aren't settings here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from signseq.errors import ConfigError

__all__ = ["UNSUPPORTED", "check_expressions", "check_fields"]

# Fields of LoraConfig that follow from the rest.
OURS = (
    *("task_type", "peft_type", "peft_version", "auto_mapping", "base_model_name_or_path"),
    *("revision", "inference_mode", "fan_in_fan_out", "runtime_config"),
)
# What more than settings are needed for: data, other packages, token ids at the input, another model.
UNSUPPORTED = (
    *("megatron_config", "megatron_core", "layer_replication", "alora_invocation_tokens"),
    *("eva_config", "corda_config", "lora_ga_config", "loftq_config", "arrow_config"),
    *("velora_config", "monteclora_config", "kasa_config", "use_bdlora", "use_qalora"),
    *("qalora_group_size", "trainable_token_indices", "lora_bias"),
)
STARTS = (True, False, "gaussian", "orthogonal", "olora", "pissa")  # without data, and repeatable


def check_fields(extra: Mapping[str, Any], *, known: Mapping[str, Any]) -> None:
    """Make sure that fields are ones of peft's, that can be set, with values of their types.

    Args:
        extra: Fields beside our own, with their values.
        known: peft's fields, with their types.

    Raises:
        ConfigError: If one isn't.
    """
    start = extra.get("init_lora_weights", True)
    if start not in STARTS:
        raise ConfigError(
            f"model.lora_config.init_lora_weights = {start!r}: expected one of {', '.join(map(str, STARTS))}."
        )
    for name, value in extra.items():
        if name in OURS:
            raise ConfigError(f"model.lora_config.{name}: follows from the rest; leave it out.")
        if name in UNSUPPORTED:
            raise ConfigError(f"model.lora_config.{name}: can't be used here; leave it out.")
        if name not in known:
            near = difflib.get_close_matches(name, {*known} - {*OURS, *UNSUPPORTED}, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise ConfigError(f"model.lora_config.{name}: no field of peft's LoraConfig{hint}")
        try:
            TypeAdapter(known[name]).validate_python(value, strict=True)
        except ValidationError as fault:
            kind = known[name].__name__ if isinstance(known[name], type) else str(known[name])
            kind = kind.replace("typing.", "")
            raise ConfigError(f"model.lora_config.{name} = {value!r}: expected {kind}.") from fault


def check_expressions(*given: Sequence[str] | str | None) -> None:
    """Make sure that names of modules are names, or regular expressions that are whole.

    Raises:
        ConfigError: If one isn't.
    """
    for name in (
        each for names in given for each in ([names] if isinstance(names, str) else names or ())
    ):
        try:
            re.compile(name)
        except (re.error, TypeError) as fault:
            raise ConfigError(
                f"model.lora_config: {name!r} is neither a name nor a regular expression ({fault})."
            ) from fault
