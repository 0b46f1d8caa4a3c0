"""The resolved spec of every packaged architecture at every scale of the demo: a changed default shows as a diff.

After a change that is meant, `python -m tests.test_golden_specs` writes the files anew: read the diff before a commit.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from archscale.compose import groups
from archscale.spec import to_json
from archscale.study import expand, load_study

GOLDEN = Path(__file__).parent / "golden" / "specs"


def resolved(arch: str) -> list[dict[str, Any]]:
    """Of the demo's scales; the corpus hash differs from one Python release to the next and is left out."""
    specs = [to_json(cell.spec) for cell in expand(load_study("demo"), [f"arch={arch}"])]
    for spec in specs:
        spec["data"]["content_hash"] = "of this Python's standard library"
    return specs


def golden_path(arch: str, spec: dict[str, Any]) -> Path:
    return GOLDEN / f"{arch}-d{spec['scale']['depth']}-w{spec['scale']['width']}.json"


@pytest.mark.parametrize("arch", groups()["arch"])
def test_the_resolved_specs_are_the_golden_ones(arch):
    specs = resolved(arch)
    assert len(specs) == 4
    for spec in specs:
        path = golden_path(arch, spec)
        assert path.exists(), f"{path.name} is missing; write it with: python -m tests.test_golden_specs"
        assert spec == json.loads(path.read_text())


def test_no_golden_file_is_left_over():
    expected = {golden_path(arch, spec) for arch in groups()["arch"] for spec in resolved(arch)}
    assert set(GOLDEN.glob("*.json")) == expected


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.glob("*.json"):
        old.unlink()
    for name in groups()["arch"]:
        for values in resolved(name):
            golden_path(name, values).write_text(json.dumps(values, indent=2) + "\n")
