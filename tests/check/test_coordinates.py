"""The rules of the parametrizations, seen in training: μP++ is flat over width and depth, μP over width, SP nowhere."""

import dataclasses
from functools import lru_cache

import pytest

from archscale.check.coordinates import Check, CheckReport, CheckSettings, check_coordinates, run_spec
from archscale.check.probe import LOGITS, STREAM
from archscale.compose import groups
from archscale.model.layers import Linear, uniform
from archscale.parametrizations.rules import Rules

ARCHITECTURES = groups()["arch"]
QUICK = CheckSettings(widths=(64, 256), depths=(8, 32), parameters=False)


@lru_cache
def report(arch: str, parametrization: str, seeds: int = 1) -> CheckReport:
    return check_coordinates([arch], [parametrization], dataclasses.replace(QUICK, seeds=seeds))


def along(report: CheckReport, axis: str) -> Check:
    return next(check for check in report.checks if check.axis == axis)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_mup_plus_plus_is_flat_over_width_and_depth(arch):
    for check in report(arch, "mup_pp", seeds=2).checks:
        worst = check.worst
        assert check.flat, f"{check.axis}: {worst.name} {worst.measure} {worst.slope:+.2f}"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_standard_parametrization_is_flat_over_neither(arch):
    for check in report(arch, "sp").checks:
        assert not check.flat
        # And not for a single unruly layer: the stream that all of them write grows, and so does its change.
        assert min(check.of(STREAM, measure).slope for measure in ("size", "change")) > 0.4, check.axis


@pytest.mark.parametrize("arch", ["transformer_pp", "sambay"])
def test_mup_is_flat_over_width_alone(arch):
    assert along(report(arch, "mup"), "width").flat
    assert not along(report(arch, "mup"), "depth").flat


def test_initial_logits_of_tied_embeddings_fall_with_the_width():
    """h Eᵀ of a random E grows as √w; the multiplier w0/w of μP makes it 1/√w, and SP leaves it."""

    def slope(parametrization: str) -> float:
        settings = dataclasses.replace(QUICK, axes=("width",), steps=1, learning_rate=1e-12)
        (check,) = check_coordinates(["transformer_pp"], [parametrization], settings).checks
        return check.of(LOGITS, "size").slope

    assert slope("mup_pp") == pytest.approx(-0.5, abs=0.06)
    assert slope("sp") == pytest.approx(0.5, abs=0.06)


def _without(rules: str, part: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    original = getattr(Rules, rules)
    monkeypatch.setattr(
        Rules, rules, lambda self, *places: dataclasses.replace(original(self, *places), **{part: value})
    )


@pytest.mark.parametrize(
    ("rules", "part", "axis"),
    [
        ("rule", "learning_rate_multiplier", "width"),
        ("multipliers", "logits", "width"),
        ("multipliers", "residual", "depth"),
    ],
)
def test_every_rule_is_needed(rules, part, axis, monkeypatch):
    _without(rules, part, 1.0, monkeypatch)
    settings = dataclasses.replace(QUICK, axes=(axis,))
    (check,) = check_coordinates(["transformer_pp"], ["mup_pp"], settings).checks
    assert not check.flat


def test_a_wrong_role_shows_in_its_parameter(monkeypatch):
    """Matrices of gated memory units as vectors: their rate does not fall with the width, so their part grows."""
    settings = dataclasses.replace(QUICK, axes=("width",), widths=(64, 128), parameters=True)

    def slopes() -> dict[str, float]:
        (check,) = check_coordinates(["sambay_aa"], ["mup_pp"], settings).checks
        return {part.name: part.slope for part in check.parts}

    def as_vector(inputs: int, outputs: int, **options: bool) -> Linear:
        return Linear(inputs, outputs, role="vector", own=uniform(inputs**-0.5), **options)

    right = slopes()
    monkeypatch.setattr("archscale.model.mixers.gmu.Linear", as_vector)
    wrong = slopes()
    for name in ("gmu.gate.weight", "gmu.output.weight"):
        assert wrong[name] - right[name] == pytest.approx(1, abs=0.3)


def test_models_of_a_ladder_keep_their_proportions():
    small, large = (run_spec("sambay_da", "mup_pp", width, 8, QUICK, 0).scale for width in (64, 256))
    assert (small.num_heads, small.num_kv_heads, small.head_dim) == (8, 2, 8)
    assert (large.num_heads, large.num_kv_heads, large.head_dim) == (32, 8, 8)
    assert (small.base_width, large.base_width, large.base_depth) == (64, 64, 8)
