import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from analysis.sources.runs import read_wandb_points
from archscale.registry import UserError
from archscale.runlog import wandb_api
from archscale.runlog.wandb_api import read_wandb_project
from archscale.spec import to_json
from tests.analysis.fake_runs import result_of, spec_of


class FakeApi:
    """Answers like wandb.Api().runs: run objects with the attributes that are read."""

    def __init__(self, *runs: SimpleNamespace, error: Exception | None = None) -> None:
        self.asked: dict[str, object] = {}
        self._runs, self._error = runs, error

    def runs(self, path: str, **options: object) -> list[SimpleNamespace]:
        self.asked = {"path": path} | options
        if self._error:
            raise self._error
        return list(self._runs)


def run(name: str, *, config: dict, summary: dict, state: str = "finished") -> SimpleNamespace:
    url = f"https://wandb.test/e/p/runs/{name}"
    return SimpleNamespace(id=name, name=name.title(), state=state, config=config, summary_metrics=summary, url=url)


def foreign(number: int, **values: object) -> SimpleNamespace:
    config = {"lr": 0.1, "model": {"width": 64 * number}, "_wandb": {"cli": "0.31"}}
    return run(f"r{number}", config=config, summary={"loss": 3.0 - number / 10, "_step": 9}, **values)


@pytest.fixture
def server(monkeypatch):
    """Lets the reader of points talk to a fake client."""

    def serve(*runs: SimpleNamespace) -> FakeApi:
        api = FakeApi(*runs)
        import wandb

        monkeypatch.setattr(wandb, "Api", lambda **_: api)
        return api

    return serve


def test_filters_go_to_the_server_and_whole_runs_come_back():
    api = FakeApi(foreign(1))
    (found,) = read_wandb_project("e/p", {"config.lr": {"$lt": 1}}, api=api)
    assert api.asked == {"path": "e/p", "filters": {"config.lr": {"$lt": 1}}, "lazy": False, "per_page": 100}
    assert found.config == {"lr": 0.1, "model": {"width": 64}}
    assert found.summary == {"loss": 2.9}
    assert (found.run_id, found.name, found.url) == ("r1", "R1", "https://wandb.test/e/p/runs/r1")


def test_numbers_that_are_not_finite_come_back_as_such():
    (found,) = read_wandb_project("e/p", api=FakeApi(run("r", config={}, summary={"loss": "NaN", "top": "Infinity"})))
    assert found.summary["loss"] != found.summary["loss"]
    assert found.summary["top"] == float("inf")


def test_runs_of_another_program_have_columns_for_their_keys(server):
    server(foreign(1), foreign(2), foreign(3, state="crashed"))
    table = read_wandb_points("e/p")
    assert table.frame["config.model.width"].to_list() == [64, 128, 192]
    assert table.frame["summary.loss"].to_list() == [2.9, 2.8, 2.7]
    assert (table.source, table.name) == ("wandb:e/p", "p")
    assert table.left_out == {2: "crashed"}
    assert len(table.points) == 2


def test_runs_of_this_program_have_the_columns_of_its_run_table(server):
    spec = spec_of("sambay", 8)
    summary = vars(result_of(spec, 2.5))
    server(
        run("sambay-1", config=to_json(spec), summary=summary),
        run("sambay-2", config=to_json(spec), summary={}, state="running"),
    )
    table = read_wandb_points("e/p")
    assert table.frame["validation_loss"].to_list()[0] == 2.5
    assert table.frame["architecture"].to_list() == ["sambay", "sambay"]
    assert table.frame["path"].to_list() == [f"https://wandb.test/e/p/runs/sambay-{n}" for n in (1, 2)]
    assert table.left_out == {1: "interrupted"}
    assert table.label("compute") == "Training compute (FLOPs)"


def test_a_mixed_project_is_read_by_the_keys_of_its_runs(server):
    spec = spec_of("sambay", 8)
    server(foreign(1), run("own", config=to_json(spec), summary={"validation_loss": 2.5}))
    table = read_wandb_points("e/p")
    assert table.frame["config.scale.depth"].to_list()[1] == 8
    assert table.frame["summary.validation_loss"].to_list()[1] == 2.5


@pytest.mark.parametrize("path", ["project", "e/p/r", "/p", "e/", ""])
def test_a_path_that_is_no_project_is_refused(path):
    with pytest.raises(UserError, match="write wandb:ENTITY/PROJECT"):
        read_wandb_project(path, api=FakeApi())


def test_what_the_client_raises_is_one_line():
    from wandb.errors import CommError, UsageError

    cases = [
        (UsageError("No API key configured. Use `wandb login` to log in."), "wandb login"),
        (CommError("Failed:\n  no route to host"), "Failed: no route to host"),
        (ValueError("Could not find project p"), "Could not find project p"),
    ]
    for error, words in cases:
        with pytest.raises(UserError) as raised:
            read_wandb_project("e/p", api=FakeApi(error=error))
        assert words in str(raised.value)
        assert "wandb:e/p" in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("variables", "words"),
    [({}, "wandb login"), ({"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}, "127.0.0.1:9")],
    ids=["no login", "no network"],
)
def test_the_real_client_without_login_or_network_is_one_line(tmp_path, variables, words):
    """A key that cannot be checked and a port that nobody listens on; no connection leaves this machine."""
    code = (
        "from archscale.runlog import wandb_api\n"
        "wandb_api.TIMEOUT_SECONDS = 2\n"
        "try:\n    wandb_api.read_wandb_project('e/p')\n"
        "except wandb_api.UserError as error:\n    print(error)"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert words in line
    assert wandb_api.__name__ not in line
