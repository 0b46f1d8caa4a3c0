"""`archscale list parametrization --table`: Table 6 with the numbers of a cell."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from archscale.choices import rules_table
from archscale.cli import app
from archscale.compose import load_spec
from archscale.parametrizations.table import rows_of
from archscale.registry import UserError
from tests.support.terminal import lines_at_80

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "parametrization.md"
DEEP = ["scale=paper", "optim=paper", "arch=sambay", "scale.depth=24"]


def texts(name: str, *more: str) -> dict[str, tuple[str, ...]]:
    """By group: learning rate, init, branch, forward multiplier, weight decay."""
    rows = rows_of(load_spec([*DEEP, f"parametrization={name}", *more]))
    return {row.group: (row.learning_rate, row.init, row.branch, row.forward, row.weight_decay) for row in rows}


def test_mup_plus_plus_untied():
    assert texts("mup_pp", "arch.tie_embeddings=false") == {
        "embedding": ("η × 1 = 3.266e-04", "N(0, 0.0001²)", "", "1", "0"),
        "unembedding": ("η × 1 = 3.266e-04", "0", "", "0.6667", "0"),
        "hidden": ("η × 0.6667 = 2.177e-04", "U(±1/√n)", "0.1443", "1", "0.1"),
        "output": ("", "U(±1/√n)", "", "", ""),
        "vector": ("η × 1 = 3.266e-04", "own", "", "", "0"),
        "scores": ("", "", "", "1/√K", ""),
    }


def test_standard_tied():
    found = texts("sp", "optim.weight_decay=0.3")
    assert found["unembedding"] == ("tied", "tied", "", "1", "tied")
    assert found["hidden"] == ("η × 1 = 4.000e-04", "N(0, 0.02²)", "1", "1", "0.3")
    assert found["output"][1] == "N(0, 0.002887²)"
    assert found["vector"][4] == "0.3"


def test_options_show():
    found = texts("mup_pp", "parametrization.small_output_init=true", "parametrization.hidden_init=normal")
    assert found["hidden"][1] == "N(0, 0.01633²)"
    assert found["output"][1] == "N(0, 0.002357²)"
    wide = texts("mup", "parametrization.attention_exponent=1", "parametrization.base_head_dim=32")
    assert wide["scores"][3] == "0.5/√K"


def test_the_command_fits_80_columns_and_has_the_three_in_the_order_of_the_paper():
    command = ["list", "parametrization", "--table", "scale.depth=24", "arch=sambay", "arch.tie_embeddings=false"]
    lines = lines_at_80(*command)
    assert not any("…" in line for line in lines)
    assert lines[0] == "SambaY, depth 24, width 2976; base: depth 16, width 1984; untied embeddings"
    rates = [line.split() for line in lines if " η = " in line]
    assert rates == [["SP", "η", "=", "4.000e-04"], ["μP", "η", "=", "4.000e-04"], ["μP++", "η", "=", "3.266e-04"]]
    hidden = [line.split()[5] for line in lines if line.startswith("  hidden")]
    assert hidden == ["4.000e-04", "2.667e-04", "2.177e-04"]
    assert "\n".join(lines) in DOCUMENTATION.read_text()


def test_one_parametrization_can_be_chosen():
    result = CliRunner().invoke(app, ["list", "parametrization", "--table", "parametrization=mup_pp_normal_init"])
    assert result.exit_code == 0
    assert result.output.count("η = ") == 1
    assert "μP++ (normal init)" in result.output


def test_without_table_the_choices_are_listed_as_ever():
    wide = {"COLUMNS": "160"}  # whatever the terminal that the tests run in
    lines = CliRunner().invoke(app, ["list", "parametrization"], env=wide).output.splitlines()
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    assert {"sp", "mup", "mup_pp"} < {line.split()[0] for line in lines}


@pytest.mark.parametrize(
    ("kind", "overrides", "as_table"),
    [("arch", [], True), ("arch", ["arch=sambay"], False), ("parametrization", ["scale.depth=8"], False)],
)
def test_overrides_and_table_go_with_parametrizations_only(kind, overrides, as_table):
    with pytest.raises(UserError, match="archscale list parametrization --table") as raised:
        rules_table(kind, overrides, as_table=as_table)
    assert "\n" not in str(raised.value)
