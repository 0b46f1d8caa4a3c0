"""Table 6 with the numbers of a cell: what each role's parameters get under one parametrization.

    learning rate η × multiplier    init    residual branch    forward multiplier    weight decay

Ren et al. 2025 (arXiv 2507.06607), Table 6. Numbers come from the rules that training uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table

from archscale.parametrizations import Init, Multipliers, Role, Rule, of_run
from archscale.spec import RunSpec


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line; an empty text is an entry that the group does not have."""

    group: str
    learning_rate: str = ""
    init: str = ""
    branch: str = ""
    forward: str = ""
    weight_decay: str = ""


def rows_of(spec: RunSpec) -> list[Row]:
    """The groups of Table 6 in its order, then vectors and the scores of attention."""
    parametrization, at, base = of_run(spec)
    rules = {role: parametrization.rule(role, at, base) for role in ("embedding", "unembedding", "hidden", "vector")}
    factors = parametrization.multipliers(at, base)
    return [
        _row(spec, "embedding", rules["embedding"], forward="1"),
        _unembedding(spec, rules["unembedding"], factors),
        _row(spec, "hidden", rules["hidden"], branch=f"{factors.residual:.4g}", forward="1"),
        Row(group="output", init=_shown(rules["hidden"].init, rules["hidden"].output_factor)),
        _row(spec, "vector", rules["vector"]),
        Row(group="scores", forward="1/√K" if factors.attention == 1 else f"{factors.attention:.3g}/√K"),
    ]


def table_six(specs: Sequence[RunSpec]) -> Group:
    """One block a spec; all are the same cell but for the parametrization."""
    arch, scale = specs[0].arch, specs[0].scale
    cell = (
        f"{arch.title or arch.name}, depth {scale.depth}, width {scale.width}; base: depth {scale.base_depth}, width "
        f"{scale.base_width:g}; {'tied' if arch.tie_embeddings else 'untied'} embeddings"
    )
    legend = (
        "η: the global rate at this depth, batch size and number of tokens. n: inputs of the matrix, "
        f"1/√n = {scale.width**-0.5:.4g} at n = {scale.width}. K: head size, {scale.head_dim}.\n"
        "output: the hidden matrices whose product joins the residual stream."
    )
    table = Table(box=None, pad_edge=False)
    for name in ("", "learning rate", "init", "branch", "forward", "decay"):
        table.add_column(name, no_wrap=True)
    for spec in specs:
        heading = spec.parametrization.title or spec.parametrization.name
        table.add_row(f"[bold]{heading}[/]", f"η = {spec.optim.learning_rate:.3e}", style="cyan")
        for row in rows_of(spec):
            table.add_row(f"  {row.group}", row.learning_rate, row.init, row.branch, row.forward, row.weight_decay)
    return Group(cell, table, legend)


def _row(spec: RunSpec, role: Role, rule: Rule, *, branch: str = "", forward: str = "") -> Row:
    rate, multiplier = spec.optim.learning_rate, rule.learning_rate_multiplier
    return Row(
        group=role,
        learning_rate=f"η × {multiplier:.4g} = {rate * multiplier:.3e}",
        init=_shown(rule.init),
        branch=branch,
        forward=forward,
        weight_decay=f"{spec.optim.weight_decay:.3g}" if rule.weight_decay else "0",
    )


def _unembedding(spec: RunSpec, rule: Rule, factors: Multipliers) -> Row:
    """A tied head has the embedding's weights, with their learning rate, init and decay."""
    forward = f"{factors.logits:.4g}"
    if spec.arch.tie_embeddings:
        return Row(group="unembedding", learning_rate="tied", init="tied", forward=forward, weight_decay="tied")
    return _row(spec, "unembedding", rule, forward=forward)


def _shown(init: Init, factor: float = 1.0) -> str:
    if init.distribution == "normal":
        return f"N(0, {init.value * factor:.4g}²)"
    if init.distribution == "uniform_fan_in":
        return f"U(±{init.value * factor:.4g}/√n)"
    return {"zero": "0", "own": "own"}[init.distribution]
