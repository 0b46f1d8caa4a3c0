"""Widths that are solved for a number of parameters."""

from math import ceil

import pytest

from archscale.compose import load_config, load_spec
from archscale.registry import UserError
from archscale.scaling.count import count_parameters
from archscale.scaling.widths import nearest_multiple
from archscale.spec import RunSpec

PAPER = ["scale.width_scale=1", "scale.head_dim=128", "scale.num_heads=null", "scale.num_kv_heads=null"]
PAPER += ["scale.tokens=65536", "scale.tokens_per_param=null"]

# Non-embedding parameters of the real modules at depth 16, in millions, and the α of the width 16·α that has them.
AT_DEPTH_16 = {
    "transformer_pp": (973.1, 128),
    "swa_yoco": (988.4, 130),
    "samba_yoco": (1009.7, 126),
    "sambay": (1002.3, 124),
    "sambay_2": (1005.0, 124),
    "mambay": (994.8, 120),
    "mambay_2": (1006.6, 120),
    "gdny": (989.5, 120),
    "sgdny": (1018.1, 126),
    "sambay_a": (1009.7, 126),
    "sambay_aa": (1009.7, 126),
    "sambay_mlp": (985.3, 120),
}


def smooth(width: int) -> int:
    return 12 * width**2 + 9000 * width


def mamba_2_like(width: int) -> int:
    """Heads of 64 in multiples of 8: a jump every 256 of width."""
    return 16 * 12 * width**2 + 27 * width * 512 * ceil(2 * width / 512)


def delta_rule_like(width: int) -> int:
    return 16 * 12 * width**2 + 72 * width * 256 * ceil(int(0.75 * width) / 256)


def stairs(width: int) -> int:
    """Nothing but plateaus."""
    return 10_000_000 * (width // 37)


def cliff(width: int) -> int:
    """So high that a straight line through its two ends meets every target at its foot."""
    return width if width < 2600 else 10**9 + width


@pytest.mark.parametrize("count", [smooth, mamba_2_like, delta_rule_like, stairs, cliff])
@pytest.mark.parametrize("multiple", [1, 8, 128])
def test_no_multiple_is_nearer_than_the_solved_one(count, multiple):
    distance = {width: count(width) for width in range(multiple, 6000, multiple)}
    for number in range(40):
        target = count(300 + 61 * number) * (0.9 + 0.2 * (number * 0.618 % 1)) + 1
        found = nearest_multiple(count, target, multiple=multiple, near=200 + 83 * number % 3000)
        assert found % multiple == 0
        assert abs(count(found) - target) == min(abs(n - target) for n in distance.values())


@pytest.mark.parametrize(
    ("count", "target", "most"),
    [
        (smooth, smooth(2600) * 1.003, 7),
        (mamba_2_like, mamba_2_like(2600) * 1.003, 14),
        (delta_rule_like, delta_rule_like(2600) * 1.003, 14),
        (stairs, stairs(2600) * 1.003, 26),
        (cliff, 2700, 26),
    ],
)
def test_solving_takes_few_counts(count, target, most):
    for near in (300, 2000, 4000):
        asked = []

        def counted(width, asked=asked):
            asked.append(width)
            return count(width)

        nearest_multiple(counted, target, multiple=1, near=near)
        assert len(asked) == len(set(asked)) <= most


def test_of_two_equally_near_widths_it_is_the_smaller():
    assert nearest_multiple(lambda width: 10 * width, 35, multiple=1, near=9) == 3


def test_a_target_below_the_smallest_multiple_gives_the_smallest():
    assert nearest_multiple(smooth, 5, multiple=64, near=1000) == 64


@pytest.mark.parametrize("arch", AT_DEPTH_16)
def test_the_papers_counts_have_the_papers_widths(arch):
    millions, aspect_ratio = AT_DEPTH_16[arch]
    spec = load_spec([f"arch={arch}", *PAPER, "scale.depth=16", f"scale.target_params={millions * 1e6}"])
    assert spec.scale.width == 16 * aspect_ratio
    assert round(size_of(spec) / 1e6, 1) == millions


def test_the_released_model_has_its_width():
    shape = ["arch=phi4_mini_flash", *PAPER, "scale.depth=32", "scale.head_dim=64", "arch.window=128"]
    spec = load_spec([*shape, "scale.target_params=3340.4e6"])
    assert (spec.scale.width, spec.scale.num_heads, spec.scale.num_kv_heads) == (2560, 40, 20)
    assert round(size_of(spec) / 1e6, 1) == 3340.4


def test_the_packaged_aspect_ratios_are_the_papers():
    for arch, (_, aspect_ratio) in AT_DEPTH_16.items():
        assert load_config([f"arch={arch}"]).arch.aspect_ratio == aspect_ratio


@pytest.mark.parametrize("multiple", [1, 8, 64])
@pytest.mark.parametrize("arch", ["sambay", "mambay_2", "gdny"])
def test_a_matched_width_is_the_nearest_multiple_to_the_other_architecture(arch, multiple):
    matched = ["scale.match_arch=transformer_pp", f"scale.width_multiple={multiple}"]
    width = load_spec([f"arch={arch}", *PAPER, "scale.depth=16", *matched]).scale.width
    target = size_of(load_spec(["arch=transformer_pp", *PAPER, "scale.depth=16"]))
    assert round(target / 1e6, 1) == 973.1
    assert width % multiple == 0
    near = [width - multiple, width, width + multiple]
    sizes = [size_of(load_spec([f"arch={arch}", *PAPER, "scale.depth=16", f"scale.width={w}"])) for w in near]
    assert sizes == sorted(sizes)
    assert min(abs(size - target) for size in sizes) == abs(sizes[1] - target)


def test_an_architecture_matched_to_itself_keeps_its_width():
    for depth in (8, 12, 16):
        here = ["arch=sambay", f"scale.depth={depth}"]
        assert load_spec([*here, "scale.match_arch=sambay"]) == load_spec(here)


def test_the_matched_architecture_is_as_its_file_says_with_the_scale_of_the_cell():
    narrow = ["arch=transformer_pp", "arch.mlp_ratio=2", "scale.num_heads=4", "scale.depth=12"]
    spec = load_spec([*narrow, "scale.match_arch=transformer_pp"])
    target = size_of(load_spec(["arch=transformer_pp", "scale.num_heads=4", "scale.depth=12"]))
    assert size_of(spec) == pytest.approx(target, rel=0.05)
    assert spec.scale.width > load_spec(narrow).scale.width


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["scale.match_arch=transfomer_pp"], ["unknown scale.match_arch", "mean 'transformer_pp'", "archscale list"]),
        (["scale.match_arch=sambay", "scale.width=16"], ["width = 16 and scale.match_arch = sambay", "all but one"]),
        (["scale.target_params=2e4", "scale.width=16"], ["width = 16 and scale.target_params = 20000", "to null"]),
        (["scale.target_params=2e4", "scale.match_arch=sambay"], ["target_params = 20000 and scale.match_arch"]),
        (["scale.width_multiple=8"], ["width_multiple = 8", "scale.target_params", "scale.match_arch", "at 1"]),
        (["scale.target_params=2e4", "scale.width_multiple=0"], ["width_multiple = 0", "positive"]),
        (["scale.target_params=2e4", "scale.width_multiple=999"], ["at width 999", "lower scale.width_multiple"]),
        (
            ["scale.match_arch=sambay", "scale.width_multiple=999"],
            ["match_arch = sambay", "lower scale.width_multiple"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_width_decided_twice_or_not_at_all_is_one_line(overrides, words):
    with pytest.raises(UserError) as error:
        load_spec(overrides)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def size_of(spec: RunSpec) -> int:
    return count_parameters(spec.arch, spec.scale, spec.data.vocab_size).non_embedding
