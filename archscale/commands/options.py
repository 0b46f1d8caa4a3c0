"""The options that several commands on tables share."""

from pathlib import Path
from typing import Annotated

import typer

Points = Annotated[str, typer.Argument(metavar="POINTS", help="A table, a description, a folder, or a project.")]
Where = Annotated[
    list[str] | None, typer.Option(metavar="COL=VALUE", help="Only these rows; also != < <= > >=. Repeatable.")
]
Derive = Annotated[
    list[str] | None, typer.Option(metavar="NAME=EXPR", help="A new column by plain arithmetic. Repeatable.")
]
Data = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Of a packaged description: where its data set is.")]
