"""The application that verbs are added to, and the arguments that several of them take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Checkpoint", "ConfigArgument", "Overrides", "TrustRemoteCode", "Workers", "app"]

app = typer.Typer(
    help="signseq: from signed language to text, through any Hugging Face sequence-to-sequence model.",
    epilog="Start with: signseq demo. Any setting of a config can be given as key=value after it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The experiment's YAML file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Settings that replace the config's, e.g. training.learning_rate=1e-4.",
    ),
]
Checkpoint = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="The folder that training wrote.")
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code", help="Run code of the text model's author, as training did."
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", "-j", min=1, help="Processes; default: one per core.")
]
