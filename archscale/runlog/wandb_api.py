"""Runs of a wandb project, read from its server: config and summary, without the rows logged on the way.

    read_wandb_project("entity/project", {"config.lr": {"$lt": 0.01}}) ──▶ one ProjectRun a run

Filters are MongoDB queries over config.KEY, summary_metrics.KEY, state, tags, …:
https://docs.wandb.ai/ref/python/public-api/api/. Behaviour observed with wandb 0.31.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from archscale.registry import UserError
from archscale.runlog.wandb_file import WandbRun

TIMEOUT_SECONDS = 30
PAGE_RUNS = 100
_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass(frozen=True, kw_only=True)
class ProjectRun:
    """`state` is the server's word: finished, running, crashed, failed, killed, …"""

    run_id: str
    name: str | None
    state: str
    config: dict[str, Any]
    summary: dict[str, Any]
    url: str

    def as_file(self) -> WandbRun:
        """As if it had been read from its file, without rows."""
        return WandbRun(
            run_id=self.run_id,
            name=self.name,
            config=self.config,
            history=pd.DataFrame(),
            summary=self.summary,
            exit_code=0 if self.state == "finished" else None,
            path=Path(self.run_id),
            damaged_blocks=0,
        )


def read_wandb_project(
    path: str, filters: Mapping[str, Any] | None = None, *, api: Any | None = None
) -> list[ProjectRun]:
    """All runs of ENTITY/PROJECT that fulfil `filters`, in order of creation.

    Args:
        api: a client that stands for wandb.Api().

    Raises:
        UserError: without login, without network, for a project that is not there, or filters the server refuses.
    """
    if path.count("/") != 1 or not all(part.strip() for part in path.split("/")):
        raise UserError(f"wandb:{path}: write wandb:ENTITY/PROJECT, as in the address of the project's page")
    import wandb
    from wandb.errors import AuthenticationError, CommError, UsageError

    try:
        client = wandb.Api(timeout=TIMEOUT_SECONDS) if api is None else api
        return [
            _project_run(run) for run in client.runs(path, filters=dict(filters or {}), lazy=False, per_page=PAGE_RUNS)
        ]
    except UsageError as error:
        raise UserError(f"wandb:{path}: {_one_line(error)} Or set WANDB_API_KEY.") from None
    except (AuthenticationError, CommError, ValueError, OSError) as error:
        raise UserError(
            f"wandb:{path}: {_one_line(error)}; check the name of the project, the filters, the network, WANDB_BASE_URL"
            " and `wandb login`"
        ) from None


def _project_run(run: Any) -> ProjectRun:
    summary = {key: value for key, value in dict(run.summary_metrics or {}).items() if not key.startswith("_")}
    return ProjectRun(
        run_id=run.id,
        name=run.name,
        state=run.state,
        config={key: value for key, value in run.config.items() if key != "_wandb"},
        summary={
            key: _NOT_FINITE.get(value, value) if isinstance(value, str) else value for key, value in summary.items()
        },
        url=run.url or "",
    )


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text.rstrip(".") if text.count(".") > 1 else text
