"""The resolved spec of every packaged architecture, and of the demo's cells: a changed default shows as a diff.

After a change that is meant, `python -m tests.test_golden_specs` writes the files anew: read the diff before a commit.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from archscale.compose import groups, load_spec
from archscale.spec import RunSpec, to_json
from archscale.study import expand, load_study

GOLDEN = Path(__file__).parent / "golden" / "specs"
# Every architecture as the paper scales it: section 3.1 of arXiv 2507.06607.
PAPER = ["scale.depth=16", "scale.head_dim=128", "scale.width_scale=1", "scale.batch_tokens=2097152"]
PAPER += ["scale.num_heads=null", "scale.num_kv_heads=null", "scale.tokens=1e11", "scale.tokens_per_param=null"]
PAPER += ["data.sequence_length=4096", "data.validation_tokens=65536"]


def resolved() -> dict[str, dict[str, Any]]:
    """By file name; the corpus hash differs from one Python release to the next and is left out."""
    specs = [load_spec([f"arch={arch}", *PAPER]) for arch in groups()["arch"]]
    specs += [cell.spec for cell in expand(load_study("demo"), [])]
    return {_name(spec): _without_corpus(spec) for spec in specs}


def _name(spec: RunSpec) -> str:
    return f"{spec.arch.name}-d{spec.scale.depth}-w{spec.scale.width}.json"


def _without_corpus(spec: RunSpec) -> dict[str, Any]:
    values = to_json(spec)
    values["data"]["content_hash"] = "of this Python's standard library"
    return values


@pytest.fixture(scope="module")
def specs() -> dict[str, dict[str, Any]]:
    return resolved()


def test_there_is_one_golden_file_a_spec_and_no_other(specs):
    assert len(specs) == len(groups()["arch"]) + 8
    assert {path.name for path in GOLDEN.glob("*.json")} == set(specs), "run: python -m tests.test_golden_specs"


def test_the_resolved_specs_are_the_golden_ones(specs):
    for name, values in specs.items():
        assert values == json.loads((GOLDEN / name).read_text()), name


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.glob("*.json"):
        old.unlink()
    for name, values in resolved().items():
        (GOLDEN / name).write_text(json.dumps(values, indent=2) + "\n")
