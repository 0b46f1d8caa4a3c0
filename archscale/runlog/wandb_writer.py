"""The wandb copy of the run log: one attempt of one run, written offline unless asked otherwise.

A resumed run opens a new writer with the same run id: offline that is a new directory whose steps start at 0 again,
so every row carries its own `train_step` and `tokens`, and `wandb_file.merge_attempts` puts the attempts together.

The client reads WANDB_* variables and settings files; a run here is described by its spec, so all but the variables
named below are hidden from it. wandb installs no signal handler in this process. Its helper process wandb-core does
die of SIGTERM, SIGINT and SIGHUP when the scheduler sends them to the whole job; that costs the rows since the last
flush and every later one, with one warning. The local `metrics.jsonl` is the record that survives it.
Behaviour observed with wandb 0.31.0; settings: https://docs.wandb.ai/ref/python/experiments/settings.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from math import isfinite, isnan
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from archscale.registry import UserError
from archscale.spec import WandbSpec

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)

INIT_TIMEOUT_SECONDS = 30.0
FINISH_TIMEOUT_SECONDS = 60.0
FLUSH_INTERVAL_SECONDS = 1.0

# Where the client keeps its files, and how it reaches a server. It reads them once in a process, so they are kept for
# an offline run too: an online one may follow.
_KEPT_VARIABLES = {
    "WANDB_API_KEY",
    "WANDB_APP_URL",
    "WANDB_ARTIFACT_DIR",
    "WANDB_BASE_URL",
    "WANDB_CACHE_DIR",
    "WANDB_CONFIG_DIR",
    "WANDB_CREDENTIALS_FILE",
    "WANDB_DATA_DIR",
    "WANDB_ENTITY",
    "WANDB_HTTP_TIMEOUT",
    "WANDB_HTTP_PROXY",
    "WANDB_HTTPS_PROXY",
    "WANDB_IDENTITY_TOKEN_FILE",
    "WANDB_INSECURE_DISABLE_SSL",
    "WANDB__EXTRA_HTTP_HEADERS",
    "WANDB__PROXIES",
}


class WandbWriter:
    """Writes one attempt of one run under `directory/wandb`; leaving its `with` block records the exit code.

    Args:
        run_id: the same for every attempt of a run.
        config: what the run is, as JSON values; shown in W&B and read back by `wandb_file`.
        directory: the run directory; it is created when it does not exist.

    Raises:
        UserError: when the client cannot start; online within 30 seconds plus the client's own 10 of grace.
    """

    def __init__(self, settings: WandbSpec, *, run_id: str, name: str, config: dict[str, Any], directory: Path) -> None:
        self._run_id = run_id
        self._online = settings.mode == "online"
        self._finished = False
        self._run: wandb.Run | None = None
        if settings.mode == "disabled":
            return
        (directory / "wandb").mkdir(parents=True, exist_ok=True)
        with _environment():
            self._run = _open(settings, run_id=run_id, name=name, config=config, directory=directory)

    def log(self, row: Mapping[str, float | int]) -> None:
        """Adds one row; `train_step` and `tokens` are among its keys.

        Raises:
            ValueError: when one of the two is missing.
            RuntimeError: after `finish`.
        """
        if missing := {"train_step", "tokens"} - row.keys():
            raise ValueError(f"run {self._run_id}: a row without {', '.join(sorted(missing))}")
        if run := self._running("log"):
            with self._surviving_a_lost_service():
                run.log(dict(row))

    def summarize(self, values: Mapping[str, Any]) -> None:
        """Sets results of the whole run. wandb turns NaN into null here, so non-finite numbers go as W&B's names."""
        if run := self._running("summarize"):
            with self._surviving_a_lost_service():
                run.summary.update({key: _named_if_not_finite(value) for key, value in values.items()})

    def finish(self, exit_code: int) -> None:
        """Records the exit code and completes the file. May be called again; online it gives up after 60 seconds."""
        run, self._run, self._finished = self._run, None, True
        if run is None:
            return
        import wandb

        with self._surviving_a_lost_service():
            run.finish(exit_code=exit_code)
            # The last records reach the disk when wandb-core exits, not when the client's finish returns.
            if wandb.setup().most_recent_active_run is None:
                wandb.teardown()

    @property
    def url(self) -> str | None:
        """The page of the run; None unless online."""
        return self._run.url if self._online and self._run is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finish(_exit_code(error))

    def _running(self, action: str) -> "wandb.Run | None":
        if self._finished:
            raise RuntimeError(f"run {self._run_id}: {action}() after finish()")
        return self._run

    @contextlib.contextmanager
    def _surviving_a_lost_service(self) -> Iterator[None]:
        """A training run outlives wandb-core: one warning, no further rows, no traceback at exit."""
        import wandb
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

        try:
            yield
        except TimeoutError as error:
            log.warning("wandb: run %s is not fully uploaded: %s; `wandb sync` sends the rest", self._run_id, error)
        except (OSError, HandleAbandonedError, MailboxClosedError) as error:
            self._run = None
            log.warning(
                "wandb: its helper process died (%s); run %s continues without wandb, metrics.jsonl is complete",
                error,
                self._run_id,
            )
            # The client's exit hook would fail in the same way and print a traceback.
            with contextlib.suppress(OSError, HandleAbandonedError, MailboxClosedError):
                wandb.teardown()


def _open(settings: WandbSpec, *, run_id: str, name: str, config: dict[str, Any], directory: Path) -> "wandb.Run":
    import wandb

    online = settings.mode == "online"
    wanted = {
        "console": "off",
        "disable_code": True,
        "disable_git": True,
        "disable_job_creation": True,
        "finish_timeout": FINISH_TIMEOUT_SECONDS,
        "finish_timeout_raises": True,
        "init_timeout": INIT_TIMEOUT_SECONDS,
        "label_disable": True,
        "sagemaker_disable": True,
        "save_code": False,
        "silent": True,
        "symlink": False,
        "use_dot_wandb": False,
        "x_disable_machine_info": True,
        "x_disable_meta": True,
        "x_disable_stats": True,
        "x_save_requirements": False,
        "x_transaction_log_flush_interval": FLUSH_INTERVAL_SECONDS,
    }
    economy = wandb.Settings(**{key: value for key, value in wanted.items() if key in wandb.Settings.model_fields})
    try:
        # A silent session also never asks for an API key on the terminal.
        wandb.setup(settings=economy)
        run = wandb.init(
            settings=economy,
            mode="online" if online else "offline",
            project=settings.project,
            entity=settings.entity,
            group=settings.group,
            tags=settings.tags,
            id=run_id,
            name=name,
            config=config,
            dir=directory,
            reinit="create_new",
            resume="allow" if online else None,
        )
    except wandb.Error as error:
        reason = " ".join(str(error).split())
        step = "log in with `wandb login`, check WANDB_BASE_URL, or use mode offline and `wandb sync` later"
        raise UserError(f"wandb mode {settings.mode!r} cannot start run {run_id!r}: {reason}; {step}.") from error
    run.define_metric("*", step_metric="train_step")
    return run


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Hides the WANDB_* variables that could turn this run into another one (another id, a sweep, another server).

    A WANDB_SERVICE inherited from a parent process points at a helper that may be gone, so it is hidden as well. The
    client's error reports are off: offline they would open a connection, online they delay the exit of the process.
    """
    names = [name for name in os.environ if name.startswith("WANDB_") and name not in _KEPT_VARIABLES]
    hidden = {name: os.environ[name] for name in names}
    for name in hidden:
        del os.environ[name]
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    try:
        yield
    finally:
        os.environ.pop("WANDB_ERROR_REPORTING", None)
        for name, value in hidden.items():
            os.environ.setdefault(name, value)


def _named_if_not_finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _named_if_not_finite(inner) for key, inner in value.items()}
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _exit_code(error: BaseException | None) -> int:
    match error:
        case None:
            return 0
        case SystemExit(code=None):
            return 0
        case SystemExit(code=int(code)):
            return code
        case KeyboardInterrupt():
            return 130
    return 1
