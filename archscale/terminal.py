"""What all commands share: the terminal they print to, and JSON for scripts."""

import json
import shutil
import sys
from typing import Annotated

import typer
from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def console() -> Console:
    """Full lines where output is piped; the terminal's own width otherwise."""
    return Console() if sys.stdout.isatty() else Console(width=shutil.get_terminal_size((160, 24)).columns)


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))
