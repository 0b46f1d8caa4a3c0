"""Trunks: wsd runs that differ only in where and how long they decay are one run up to there, which is trained once.

    learning rate
        ╭───────s₁────────s₂────────s₃         the trunk: the run whose decay starts last
       ╱          ╲         ╲         ╲
      ╱            ╲         ╲         ╲       a branch each: starts from the trunk's state at its own s
     0             S₁        S₂        S₃  steps

Before its decay a wsd run's learning rate does not depend on its length, and a batch is a function of (seed, step). So
the state at s is the same bits in every run of one `trunk_hash`, and a branch ends like the run that was trained alone.
States are files of the run that computed them, `<run>/branches/<trunk hash>-<step>.pt`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from archscale.identity import hash_of, identity_fields
from archscale.spec import RunSpec

NOTHING: Mapping[str, Any] = MappingProxyType({})


def shares_trunk(spec: RunSpec) -> bool:
    return spec.optim.schedule == "wsd" and spec.execution.share_trunk


def trunk_hash(spec: RunSpec) -> str:
    """Of all that the steps before the decay depend on, to the last bit as far as a spec can say it."""
    fields = identity_fields(spec)
    for name in ("steps", "decay_fraction"):
        fields["optim"].pop(name, None)
    return hash_of([fields, identity_fields(spec.execution)])


def trunk_members(specs: Mapping[str, RunSpec]) -> dict[str, list[str]]:
    """By trunk hash, the ids of the runs of that trunk in the order in which they leave it: the last one carries it."""
    members: dict[str, list[str]] = defaultdict(list)
    for identity, spec in sorted(specs.items(), key=lambda item: (item[1].optim.decay_start, item[1].optim.steps)):
        if shares_trunk(spec):
            members[trunk_hash(spec)].append(identity)
    return members


def first_steps(
    specs: Mapping[str, RunSpec],
    *,
    left: Mapping[str, float] = NOTHING,
    began: Mapping[str, int] = NOTHING,
    kept: Mapping[str, Iterable[int]] = NOTHING,
) -> dict[str, int]:
    """After how many steps, which other runs do or have done, each of these runs begins, by run id.

    A run starts at its decay when a longer one of its trunk is still to pass that step, else from the latest state that
    is there; so the longest run that is not over carries the others, as far as no states are left of those before it.

    `left`: the share of its steps that a run has still to do, 1 where it has not begun. `began`: with how many steps of
    another run those that have begun did. `kept`: by trunk hash, the steps whose states lie on the disk.
    """
    first = {identity: began.get(identity, 0) for identity in specs}
    for trunk, members in trunk_members(specs).items():
        carriers: list[int] = []  # the steps where the longer runs stand
        for identity in reversed(members):
            optim, share = specs[identity].optim, left.get(identity, 1.0)
            if share == 1 and identity not in began:
                comes = any(step < optim.decay_start for step in carriers)
                states = [step for step in kept.get(trunk, ()) if step <= optim.decay_start]
                first[identity] = optim.decay_start if comes else max(states, default=0)
            carriers.append(max(first[identity], round((1 - share) * optim.steps)))
    return first


def steps_to_keep(specs: Mapping[str, RunSpec]) -> dict[str, tuple[int, ...]]:
    """By run id, the steps after which other runs leave before this one does.

    A branch does not pass them, unless its trunk is lost or was trained before: then it carries the ones that are left.
    """
    keep = {}
    for members in trunk_members(specs).values():
        starts = [specs[identity].optim.decay_start for identity in members]
        for identity, own in zip(members, starts, strict=True):
            if earlier := {step for step in starts if 0 < step < own}:
                keep[identity] = tuple(sorted(earlier))
    return keep


def sharing_notes(specs: Mapping[str, RunSpec]) -> list[str]:
    """Why wsd runs that look like budgets of one trunk are not: a sentence for each field that keeps them apart."""
    alike: dict[str, list[RunSpec]] = defaultdict(list)
    for spec in specs.values():
        if shares_trunk(spec):
            fields = identity_fields(spec)
            for name in ("steps", "decay_fraction", *_REMEDIES):
                fields["optim"].pop(name, None)
            alike[hash_of([fields, identity_fields(spec.execution)])].append(spec)
    notes = {}
    for name, remedy in _REMEDIES.items():
        apart = [group for group in alike.values() if _varies_with_length(group, name)]
        if apart:
            runs = sum(map(len, apart))
            notes[name] = f"{runs} wsd runs share no trunk, since optim.{name} changes with their length: {remedy}."
    return list(notes.values())


_REMEDIES = {
    "warmup_steps": "give optim.warmup_tokens in place of optim.warmup_fraction, at most the shortest run's tokens",
    "batch_tokens": "take a batch that does not follow the tokens",
    "learning_rate": "take a rule without tokens (parametrization.token_exponent=0)",
    "weight_decay": "take a rule without tokens (parametrization.independent_weight_decay=false)",
}


def _varies_with_length(group: Iterable[RunSpec], name: str) -> bool:
    """Every length has a value of its own; a study that crosses lengths with values shares a trunk a value."""
    by_steps: dict[int, set[float]] = defaultdict(set)
    for spec in group:
        by_steps[spec.optim.steps].add(getattr(spec.optim, name))
    values = [value for found in by_steps.values() for value in found]
    return len(by_steps) > 1 and len(set(values)) == len(values)


def branch_file(run: Path, trunk: str, step: int) -> Path:
    """Where a run keeps its state after `step` steps."""
    return run / "branches" / f"{trunk}-{step}.pt"


def branch_files(root: Path, trunk: str, *, at_most: int) -> list[tuple[int, Path]]:
    """States of this trunk that any run under `root` has kept, up to `at_most` steps, the latest first."""
    named = ((path.stem.rpartition("-")[2], path) for path in root.glob(f"*/branches/{trunk}-*.pt"))
    found = [(int(step), path) for step, path in named if step.isdigit()]
    return sorted(((step, path) for step, path in found if step <= at_most), reverse=True)


def kept_steps(root: Path) -> dict[str, set[int]]:
    """By trunk hash, the steps whose states any run under `root` has kept."""
    found: dict[str, set[int]] = defaultdict(set)
    for path in root.glob("*/branches/*-*.pt"):
        trunk, _, step = path.stem.rpartition("-")
        if step.isdigit():
            found[trunk].add(int(step))
    return found
