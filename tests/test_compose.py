import pytest

from archscale.compose import RunConfig, compose_groups, groups, load_config, load_spec, normalised_stack
from archscale.identity import run_id
from archscale.registry import UserError
from archscale.scaling.count import count_parameters


def test_every_choice_of_every_group_composes():
    for group, choices in groups().items():
        for choice in choices:
            assert isinstance(load_config([f"{group}={choice}"]), RunConfig)


def test_hydra_is_asked_once_per_choice_of_groups(monkeypatch):
    compose_groups.cache_clear()
    for seed in range(3):
        for arch in ("transformer_pp", "sambay"):
            load_config([f"arch={arch}", f"seed={seed}"])
    assert compose_groups.cache_info().misses == 2


def test_a_value_set_in_one_cell_does_not_leak_into_the_next():
    assert load_config(["scale.base.learning_rate=0.5"]).scale.base.learning_rate == 0.5
    assert load_config([]).scale.base.learning_rate != 0.5


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("arch=sambayy", ["unknown arch 'sambayy'", "Did you mean 'sambay'", "transformer_pp"]),
        ("scale.dept=8", ["unknown key 'scale.dept'", "Did you mean 'depth'"]),
        ("arhc=sambay", ["unknown key 'arhc'", "Did you mean 'arch'"]),
        ("scale.depth=10", ["scale.depth = 10", "8, 12, 16"]),
        ("scale.depth=eight", ['scale.depth = "eight"', "integer"]),
        ("scale.depth=-8", ["scale.depth = -8"]),
        ("scale.depth.x=3", ["scale.depth holds the value 8"]),
        ("scale.num_kv_heads=3", ["num_heads = 2", "num_kv_heads = 3"]),
        ("scale.batch_tokens=1000", ["batch_tokens = 1000", "sequence_length = 128", "1024"]),
        ("scale.tokens=1e6", ["scale.tokens = 1000000.0", "tokens_per_param = 20", "exactly one"]),
        ("scale.tokens_per_param=0.001", ["less than one batch", "2048"]),
        ("scale.target_params=10", ["target_params = 10", "at least that"]),
        ("arch.window=300", ["arch.window = 300", "at most 128"]),
        ("arch.mixers.mamba.stat_size=3", ["stat_size", "state_size"]),
        ("+scale.depth=8", ["write KEY=VALUE without + or ~"]),
        ("scale.depth", ["KEY=VALUE"]),
        ("scale.depth=8,12", ["several values", "train -m"]),
        ("optim.warmup_fraction=1.5", ["warmup_fraction = 1.5", "0 … 1"]),
        ("wandb.mode=maybe", ['wandb.mode = "maybe"', "offline"]),
        ("flops_accounting=guess", ['flops_accounting = "guess"', "6nd_non_embedding"]),
        ("parametrization.name=mup_ppp", ["unknown parametrization 'mup_ppp'", "mup_pp"]),
    ],
)
def test_a_wrong_override_is_refused_in_one_line_that_helps(override, words):
    with pytest.raises(UserError) as error:
        load_spec(["arch=sambay", override])
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_the_short_form_of_a_tile_means_the_long_one():
    short = normalised_stack([{"span": 2, "tile": ["gmu", {"mamba": {"write": "memory", "state_dim": 8}}]}])
    assert short == [
        {
            "span": 2,
            "tile": [
                {"mixer": "gmu"},
                {"mixer": "mamba", "write": ["memory"], "mlp_write": [], "options": {"state_dim": 8}},
            ],
        }
    ]
    assert normalised_stack(short) == short
    (layer,) = normalised_stack([{"span": 1, "tile": [{"attention": {"write": ["kv"], "mlp_write": "memory"}}]}])[0][
        "tile"
    ]
    assert layer == {"mixer": "attention", "write": ["kv"], "mlp_write": ["memory"], "options": {}}


@pytest.mark.parametrize(
    "stack",
    [
        5,
        "mamba",
        [5],
        [{"span": 8}],
        [{"span": 8, "tile": 5}],
        [{"span": 8, "tile": "mamba"}],
        [{"span": 8, "tile": [5]}],
        [{"span": 8, "tile": [{"mamba": 5}]}],
        [{"span": 8, "tile": [{"mamba": ["a"]}]}],
        [{"span": 8, "tile": [{"a": None, "b": None}]}],
    ],
    ids=str,
)
def test_a_stack_of_another_form_is_shown_as_it_stands(stack):
    with pytest.raises(UserError, match=r"arch\.stack"):
        normalised_stack(stack)


@pytest.mark.parametrize(
    "override",
    [
        "seed=-1",
        "seed=99999999999999999999",
        "parametrization.embedding_std=0",
        "arch.rope_base=0",
        "arch.norm_eps=-1",
        "arch.name=../../elsewhere",
        "arch.name=''",
        "execution.checkpoint_seconds=-1",
        "cluster.restarts=-1",
        "scale.target_params=1e30",
        "optim.beta2=1.0",
        "optim.weight_decay=-1",
        "arch.stack=[]",
    ],
)
def test_what_cannot_run_is_refused_before_it_runs(override):
    key = override.partition("=")[0]
    with pytest.raises(UserError, match=key.replace(".", r"\.")):
        load_spec([override])


def test_width_follows_depth_along_the_ladder_and_so_do_the_rates():
    small, large = (load_spec([f"scale.depth={depth}"]) for depth in (8, 16))
    assert (small.scale.width, large.scale.width) == (16, 32)
    assert large.optim.learning_rate == pytest.approx(small.optim.learning_rate / 2**0.5, rel=1e-12)


def test_batch_size_raises_the_rate_by_its_square_root():
    rate = load_spec([]).optim.learning_rate
    assert load_spec(["scale.batch_tokens=8192"]).optim.learning_rate == pytest.approx(2 * rate, rel=1e-12)


@pytest.mark.parametrize("arch", groups()["arch"])
@pytest.mark.parametrize("target", [25e3, 60e3, 200e3])
def test_the_solved_width_is_the_nearest_one(arch, target):
    spec = load_spec([f"arch={arch}", f"scale.target_params={target}", "arch.window=32"])
    errors = [
        abs(load_count(arch, width) - target)
        for width in (spec.scale.width - 1, spec.scale.width, spec.scale.width + 1)
    ]
    assert errors[1] == min(errors)


def load_count(arch: str, width: int) -> int:
    spec = load_spec([f"arch={arch}", f"scale.width={width}", "arch.window=32"])
    return count_parameters(spec.arch, spec.scale, spec.data.vocab_size).non_embedding


def test_tokens_are_a_multiple_of_the_real_count_rounded_to_batches():
    spec = load_spec(["scale.tokens_per_param=20"])
    count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size).non_embedding
    assert abs(spec.tokens - 20 * count) <= spec.optim.batch_tokens / 2


def test_the_same_numbers_by_another_road_are_the_same_run():
    by_depth = load_spec(["scale.depth=8"])
    by_width = load_spec([f"scale.width={by_depth.scale.width}"])
    by_tokens = load_spec([f"scale.tokens={by_depth.tokens}", "scale.tokens_per_param=null"])
    assert run_id(by_depth) == run_id(by_width) == run_id(by_tokens)
