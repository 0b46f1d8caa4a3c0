"""Every packaged study: at the paper's sizes as a plan, and its tiny twin through sweep and report, for a few steps."""

import json
import subprocess
import sys

import pytest

from archscale.plan import plan
from archscale.study import load_study, study_names

FEW = ["scale.tokens=12288", "scale.tokens_per_param=null", "data.validation_tokens=16384"]
# What is left out of the product, to keep the number of runs small.
ONE_OF = {
    "flops-tiny": ["arch=sambay"],
    "data-tiny": ["optim.warmup_tokens=4096"],
    "parametrization-tiny": ["scale.depth=8"],
    "ablations-tiny": ["arch=sambay"],
    "normalization-tiny": ["seed=0"],
    "long_context-tiny": ["arch=transformer_ls"],
    "lr_transfer-tiny": [
        "parametrization=mup_pp",
        "seed=0",
        "scale.width=16",
        "scale.num_heads=2",
        "scale.num_kv_heads=1",
    ],
    "scaling_rules-tiny": ["scale.tokens=12288", "optim.warmup_tokens=4096"],
    "lr_transfer_depth-tiny": ["parametrization=mup_pp", "seed=0", "scale.depth=8"],
}
NOT_OF_THE_PAPER = {"demo", "architectures"}


def test_every_study_of_the_paper_has_a_tiny_twin():
    full = {name for name in study_names() if not name.endswith("-tiny")} - NOT_OF_THE_PAPER
    tiny = {name.removesuffix("-tiny") for name in study_names() if name.endswith("-tiny")}
    assert full == tiny
    assert {f"{name}-tiny" for name in tiny} == set(ONE_OF)


@pytest.mark.parametrize("name", study_names())
def test_every_study_says_what_it_asks_and_how_it_is_answered(name):
    study = load_study(name)
    assert study.title
    assert study.question.endswith("?")
    if name != "architectures":
        assert sum(section is not None for section in (study.fit, study.evaluate, study.transfer)) == 1


@pytest.mark.parametrize("name", sorted(set(study_names()) - NOT_OF_THE_PAPER - set(ONE_OF)))
def test_a_study_at_the_papers_sizes_fits_on_todays_devices(name):
    """One device of 141 GB, without sharding."""
    planned = plan(load_study(name))
    assert all(run.steps > 1000 for run in planned.runs)
    assert max(run.memory_bytes for run in planned.runs) < 141e9


def test_flops_is_the_papers_ladder():
    """Five architectures at five depths, with the tokens of arXiv 2507.06607, section 3.1, in billions."""
    runs = plan(load_study("flops")).runs
    assert {run.arch for run in runs} >= {"transformer_pp", "samba_yoco", "sambay", "gdny"}
    tokens = [round(run.tokens / 1e9, 1) for run in runs if run.arch == "sambay"]
    assert tokens == [12.7, 42.8, 101.4, 198.0, 342.1]
    assert {run.flops_accounting for run in runs} == {"transformer_axis"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ONE_OF))
def test_a_tiny_twin_trains_and_is_reported(name, tmp_path):
    for command in ("sweep", "report"):
        arguments = [sys.executable, "-m", "archscale", command, name, *FEW, *ONE_OF[name], "--root", str(tmp_path)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(path.read_text()) for path in tmp_path.glob("*/result.json")]
    assert results
    assert all(result["verdict"] == "finished" for result in results)
    assert (tmp_path / "studies" / name / "report.html").stat().st_size > 1e6
