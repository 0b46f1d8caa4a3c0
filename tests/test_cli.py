import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from archscale.choices import choices_of
from archscale.cli import app
from archscale.compose import groups
from archscale.model.mixers import MIXERS
from archscale.registry import UserError
from archscale.study import study_names
from tests.support.terminal import lines_at_80

COMMANDS = ["train", "sweep", "plan", "status", "logs", "cancel", "retry", "report", "list"]


def archscale(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "archscale", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    text = invoke(command, "--help")
    assert "Usage:" in text
    assert len(text.splitlines()) > 8


def test_the_plan_as_json_has_what_scripts_need():
    plan = json.loads(invoke("plan", "demo", "--json"))
    assert plan["study"] == "demo"
    assert plan["overrides"] == []
    assert len(plan["notes"]) == 1
    assert len(plan["cells"]) == 8
    for cell in plan["cells"]:
        assert cell["flops"] == 6 * cell["non_embedding_parameters"] * cell["tokens"]
        assert cell["tokens"] == cell["steps"] * cell["batch_tokens"]
        assert cell["hidden_learning_rate"] > 0
        assert cell["mismatch"] == cell["non_embedding_parameters"] / cell["target_parameters"] - 1
        assert cell["flops_accounting"] == "6nd_non_embedding"
    assert len({cell["run_id"] for cell in plan["cells"]}) == 8


def test_the_plan_as_a_table_shows_every_cell_in_80_columns():
    lines = lines_at_80("plan", "demo")
    # Every run stands in the table of sizes and in that of counts.
    assert sum(line.startswith(("transformer_pp d8", "sambay         d8")) for line in lines) == 2 * 8
    assert sum(line.startswith("all               8") for line in lines) == 1
    assert any(line.startswith("note: transformer_pp has 4.3 % more non-embedding parameters than") for line in lines)


def test_a_plan_of_matched_widths_shows_what_trains_them():
    paper = ["scale.width_scale=1", "scale.head_dim=128", "scale.num_heads=null", "scale.num_kv_heads=null"]
    given = ["demo", *paper, "scale.target_params=null", "scale.depth=24", "scale.tokens_per_param=20"]
    match = ["--match-parameters", "transformer_pp", "--width-multiple", "8"]
    lines = lines_at_80("plan", *given, *match)
    rows = [line.split() for line in lines if line.startswith(("transformer_pp", "sambay"))][:2]
    assert [row[1:3] for row in rows] == [["d24", "w3072"], ["d24", "w2936"]]
    assert [row[5] for row in rows] == ["+0.00%", "-0.05%"]
    shown = " ".join(lines)
    assert "to train these: archscale sweep demo scale.width_scale=1" in shown
    assert "scale.match_arch=transformer_pp scale.width=null scale.width_multiple=8" in shown


def test_a_study_of_target_sizes_can_be_matched_and_its_command_plans_the_same_runs():
    text = " ".join(invoke("plan", "demo", "--match-parameters", "transformer_pp").split())
    command = text.partition("to train these: archscale sweep demo ")[2].split()
    planned = json.loads(invoke("plan", "demo", "--match-parameters", "transformer_pp", "--json"))
    trained = json.loads(invoke("plan", "demo", *command, "--json"))
    assert command == planned["overrides"]
    assert trained == planned
    assert len(planned["cells"]) == 8


def test_status_of_a_study_that_was_never_started(tmp_path):
    status = json.loads(invoke("status", "demo", "--json", "--root", str(tmp_path)))
    assert [run["state"] for run in status["runs"]] == ["pending"] * 8
    assert "8 pending" in invoke("status", "demo", "--root", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_list_shows_every_choice():
    for kind, expected in [("study", study_names()), *groups().items()]:
        text = invoke("list", kind)
        for name in expected:
            assert name in text
    assert "MSMSMSMSM F GCGCGC" in invoke("list", "arch")
    assert "A·x^-b + C" in invoke("list", "law")
    assert "window_attention" in invoke("list", "mixer")


def test_every_mixer_has_a_sentence_of_its_own(monkeypatch):
    mixers = MIXERS.values()
    for mixer in mixers:
        monkeypatch.setattr(mixer, "__doc__", f"Of {mixer.__name__}.\n\nMore.")
    rows = dict(choices_of("mixer"))
    assert rows["window_attention"] == "Of WindowAttention."
    assert rows["differential_attention"] == "Of DifferentialAttention."
    assert rows["mamba2"].startswith("Mamba-2: ")  # the only mixer of its module, whose sentence is its own
    assert len(set(rows.values())) == len(rows) == len(mixers)
    sentence = sys.modules[MIXERS["window_attention"].__module__].__doc__.splitlines()[0]
    monkeypatch.setattr(MIXERS["window_attention"], "__doc__", None)
    assert choices_of("mixer")[-1] == ("window_attention", sentence)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "dmo"], ["unknown study 'dmo'", "demo"]),
        (["train", "arch=samby"], ["unknown arch 'samby'", "sambay"]),
        (["train", "scale.depth=9"], ["scale.depth = 9"]),
        (["list", "arhc"], ["unknown kind 'arhc'", "arch"]),
        (["logs", "nothing", "--root", "/nonexistent"], ["unknown run 'nothing'", "--root"]),
        (["cancel", "nothing", "--root", "/nonexistent"], ["is no study (", "demo", "no run"]),
        (["report", "demo", "--root", "/nonexistent"], ["archscale sweep STUDY"]),
        (["plan", "demo", "--match-parameters", "samby"], ["'samby'. Did you mean 'sambay'", "25_000"]),
        (
            ["plan", "demo", "scale.width=32", "--match-parameters", "sambay"],
            ["scale.width = 32 and scale.match_arch = sambay"],
        ),
        (["bench", "train", "--device", "tpu"], ["unknown device 'tpu'", "auto, cpu, cuda"]),
        (["bench", "train", "--parameters", "nan"], ["parameters = nan", "finite"]),
        (["sweep", "demo", "cluster=slurmm"], ["unknown cluster 'slurmm'", "local"]),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_mistakes_end_in_one_line_and_status_2(arguments, words):
    done = archscale(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in done.stderr


def test_a_root_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for command in ("status", "sweep", "report"):
        done = archscale(command, "demo", "--root", str(tmp_path / "file"))
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert str(tmp_path / "file") in done.stderr


def test_mistakes_reach_main_as_user_errors():
    with pytest.raises(UserError):
        CliRunner().invoke(app, ["plan", "dmo"], catch_exceptions=False)
