"""The rules themselves: Table 6 entry by entry, the options, and what a user may not ask for."""

from math import sqrt

import pytest

from archscale.compose import groups, load_config
from archscale.identity import run_id
from archscale.parametrizations import PARAMETRIZATIONS, Init, Shape
from archscale.registry import UserError
from archscale.spec import ParametrizationSpec, from_mapping
from tests.support.specs import small_spec

AT, BASE = Shape(depth=24, width=2976), Shape(depth=16, width=1984)
EVERY = pytest.mark.parametrize("name", ["sp", "mup", "mup_pp"])
UNIFORM = Init(distribution="uniform_fan_in", value=1.0)
ROLES = ("embedding", "unembedding", "hidden", "vector")


def rules(name: str, **options):
    return PARAMETRIZATIONS[name](ParametrizationSpec(name=name, **options))


@pytest.mark.parametrize(
    ("name", "decayed", "hidden", "multiplier"),
    [
        ("sp", set(ROLES), Init(distribution="normal", value=0.02), 1.0),
        ("mup", set(ROLES), UNIFORM, 2 / 3),
        ("mup_pp", {"hidden"}, UNIFORM, 2 / 3),
    ],
)
def test_table_6(name, decayed, hidden, multiplier):
    found = {role: rules(name).rule(role, AT, BASE) for role in ROLES}
    assert {role for role, rule in found.items() if rule.weight_decay} == decayed
    assert found["hidden"].init == hidden
    assert found["hidden"].learning_rate_multiplier == pytest.approx(multiplier)
    assert {found[role].learning_rate_multiplier for role in ROLES if role != "hidden"} == {1.0}
    assert found["unembedding"].init.distribution == "zero"
    assert found["vector"].init.distribution == "own"
    assert {found[role].output_factor for role in ROLES if role != "hidden"} == {1.0}
    assert found["hidden"].output_factor == (1 / sqrt(48) if name == "sp" else 1.0)


@EVERY
def test_embeddings_have_the_deviation_of_table_6_or_the_given_one(name):
    untied = Shape(depth=24, width=2976, tied=False)
    assert rules(name).rule("embedding", AT, BASE).init == Init(distribution="normal", value=0.02)
    assert rules(name).rule("embedding", untied, BASE).init == Init(distribution="normal", value=1e-4)
    assert rules(name, embedding_std=0.3).rule("embedding", untied, BASE).init.value == 0.3


@pytest.mark.parametrize(("name", "std"), [("sp", 0.05), ("mup", 0.05 * sqrt(2 / 3)), ("mup_pp", 0.05 * sqrt(2 / 3))])
def test_normal_hidden_weights(name, std):
    """N(0, τ² · w0/w) in place of the uniform ones; N(0, τ²) at every width in SP."""
    init = rules(name, hidden_init="normal", hidden_std=0.05).rule("hidden", AT, BASE).init
    assert init.distribution == "normal"
    assert init.value == pytest.approx(std, rel=1e-12)


@EVERY
def test_the_square_root_of_the_batch_and_a_power_of_the_tokens(name):
    def rate(**options):
        token_ratio = 8.0 if options else 1.0
        return rules(name, **options).learning_rate(1.0, at=AT, base=BASE, batch_ratio=9.0, token_ratio=token_ratio)

    assert rate() == pytest.approx(3.0 * (sqrt(2 / 3) if name == "mup_pp" else 1.0), rel=1e-12)
    assert rate(token_exponent=1 / 3) == pytest.approx(rate() / 2, rel=1e-12)
    assert rules(name).learning_rate(1.0, at=AT, base=BASE, batch_ratio=9.0, token_ratio=8.0) == rate()


@EVERY
def test_independent_decay_keeps_the_product_of_rate_and_decay(name):
    assert rules(name).weight_decay(0.1, base_rate=4e-4, rate=1e-4) == 0.1
    independent = rules(name, independent_weight_decay=True)
    assert independent.weight_decay(0.1, base_rate=4e-4, rate=1e-4) * 1e-4 == pytest.approx(0.1 * 4e-4, rel=1e-12)


@pytest.mark.parametrize("name", ["mup", "mup_pp"])
def test_small_outputs_are_an_option_where_they_are_not_the_rule(name):
    assert rules(name, small_output_init=True).rule("hidden", AT, BASE).output_factor == 1 / sqrt(48)
    assert rules(name, small_output_init=True).multipliers(AT, BASE) == rules(name).multipliers(AT, BASE)


@EVERY
def test_scores_fall_with_the_head_size_by_the_exponent(name):
    wide, narrow = Shape(depth=8, width=64, head_dim=32), Shape(depth=8, width=16, head_dim=8)
    inverse = rules(name, attention_exponent=1.0, base_head_dim=8.0)
    # Beside 1/√32, in all √8/32: as much as 1/√8 at the base.
    assert inverse.multipliers(wide, narrow).attention / sqrt(32) == pytest.approx(sqrt(8) / 32, rel=1e-12)
    assert inverse.multipliers(narrow, narrow).attention == 1.0
    assert rules(name).multipliers(wide, narrow).attention == 1.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"attention_exponent": 1.0}, "needs the head size at the base"),
        ({"base_head_dim": 64.0}, "0.5 has no use for it"),
        ({"attention_exponent": 1.0, "base_head_dim": 0.0}, "base_head_dim = 0.0: it must be positive, or null"),
        ({"hidden_std": 0.0}, "hidden_std = 0.0: it must be positive"),
        ({"hidden_init": "orthogonal"}, "'default' or 'normal'"),
    ],
)
def test_impossible_options_are_refused_in_one_line(values, words):
    with pytest.raises(UserError, match=words) as raised:
        from_mapping(ParametrizationSpec, {"name": "mup_pp", **values}, where="parametrization")
    assert "\n" not in str(raised.value)


def test_every_packaged_choice_has_a_title_of_its_own_and_known_rules():
    specs = [load_config([f"parametrization={choice}"]).parametrization for choice in groups()["parametrization"]]
    assert len({spec.title for spec in specs} - {""}) == len(specs) >= 5
    for spec in specs:
        assert PARAMETRIZATIONS[spec.name](spec).multipliers(BASE, BASE).logits == 1.0


def test_the_packaged_ablations_are_those_of_the_paper():
    normal = load_config(["parametrization=mup_pp_normal_init"]).parametrization
    assert PARAMETRIZATIONS[normal.name](normal).rule("hidden", AT, BASE).init == Init(
        distribution="normal", value=0.02 * sqrt(1984 / 2976)
    )
    scaled = load_config(["parametrization=mup_pp_lr_scaling"]).parametrization
    found = PARAMETRIZATIONS[scaled.name](scaled)
    assert found.learning_rate(8.0, at=BASE, base=BASE, batch_ratio=1.0, token_ratio=27.0) == pytest.approx(8 / 3)
    assert found.weight_decay(0.1, base_rate=8.0, rate=8 / 3) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "values",
    [
        {"name": "mup"},
        {"hidden_std": 0.1},
        {"hidden_init": "normal"},
        {"small_output_init": True},
        {"attention_exponent": 1.0, "base_head_dim": 8.0},
    ],
    ids=str,
)
def test_an_option_makes_another_run(values):
    changed = small_spec(**{f"parametrization.{key}": value for key, value in values.items()})
    assert run_id(changed) != run_id(small_spec())


def test_a_title_is_no_part_of_a_run():
    assert run_id(small_spec(**{"parametrization.title": "mine"})) == run_id(small_spec())
