import json
from dataclasses import field

import pytest
from pydantic.dataclasses import dataclass

from archscale.identity import identity_fields, run_hash, run_id, short_count
from archscale.spec import STRICT
from tests.support.specs import small_spec


@pytest.mark.parametrize(
    "change",
    [
        {"execution.threads": 7},
        {"execution.checkpoint_seconds": 1.0},
        {"execution.micro_batch_sequences": 1},
        {"wandb.mode": "offline"},
        {"wandb.project": "another"},
        {"data.path": "/somewhere/else"},
        {"arch.title": "A title"},
        {"flops_accounting": "6nd_total"},
    ],
    ids=str,
)
def test_paths_resources_and_logging_do_not_change_the_identity(change):
    assert run_id(small_spec(**change)) == run_id(small_spec())


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"precision": "bfloat16"},
        {"scale.width": 17},
        {"scale.base_width": 17.0},
        {"arch.window": 8},
        {"arch.stack": [{"span": "rest", "tile": [{"mixer": "mamba"}]}]},
        {"arch.mixers": {"mamba": {"state_dim": 4}}},
        {"optim.learning_rate": 0.010000000000000002},
        {"optim.steps": 11},
        {"optim.weight_decay": 0.0},
        {"data.content_hash": "fedcba9876543210"},
        {"parametrization.embedding_std": 0.01},
    ],
    ids=str,
)
def test_what_changes_the_result_changes_the_identity(change):
    assert run_hash(small_spec(**change)) != run_hash(small_spec())


def test_the_identity_of_a_spec_is_the_same_today_and_tomorrow():
    """If this literal has to change, every finished run of every user is orphaned: think twice."""
    assert run_id(small_spec()) == "transformer_pp-d8-w16-1.28K-mup_pp-s0-a1b0caa742"


def test_a_field_added_later_with_a_default_orphans_nothing():
    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class Old:
        width: int
        tied: bool = True

    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class New(Old):
        dropout: float = 0.0
        tags: tuple[str, ...] = ()
        options: dict[str, int] = field(default_factory=dict)

    assert identity_fields(New(width=3)) == identity_fields(Old(width=3)) == {"width": 3}
    assert identity_fields(New(width=3, dropout=0.1)) != identity_fields(Old(width=3))


def test_an_integer_written_as_a_float_is_the_same_number():
    assert run_id(small_spec(**{"scale.base_width": 16})) == run_id(small_spec(**{"scale.base_width": 16.0}))


def test_identity_fields_are_plain_json():
    assert json.loads(json.dumps(identity_fields(small_spec()))) == identity_fields(small_spec())


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (999.6, "1K"), (1000, "1K"), (512_000, "512K"), (1.25e9, "1.25B"), (999_999, "1M")],
)
def test_counts_are_short(number, text):
    assert short_count(number) == text
