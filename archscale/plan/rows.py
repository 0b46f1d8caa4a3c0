"""The rows of a plan: one a run, one a total."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """Tokens are training tokens; learning rates the global one and that of hidden weights; flops of training.

    `label` is the architecture, and what tells rows of one shape apart (labels.py).

    `target_parameters` is the count that the width was solved for, None where it was not solved, and `mismatch` what
    the count has more than that, as a fraction of it. `paper_parameters` and `paper_tokens` are by the paper's
    formulas, None where a mixer has none, `module_tokens` by the real modules, whichever the run follows. Of a run
    that starts from another one's state `saved_flops` are those up to there; hours and cost are of the steps after it.
    Memory is that of one device, with its share of the batch at once where execution.micro_batch_sequences is null;
    None where a mixer does not say what it keeps.
    """

    run_id: str
    label: str
    arch: str
    depth: int
    width: int
    num_heads: int
    num_kv_heads: int
    parameters: int
    non_embedding_parameters: int
    embedding_parameters: int
    head_parameters: int
    mixer_parameters: int
    mlp_parameters: int
    norm_parameters: int
    paper_parameters: float | None
    target_parameters: float | None
    mismatch: float | None
    tokens: int
    paper_tokens: int | None
    module_tokens: int
    batch_tokens: int
    steps: int
    warmup_steps: int
    learning_rate: float
    hidden_learning_rate: float
    weight_decay: float
    flops: float
    flops_accounting: str
    saved_flops: float
    memory_bytes: int | None
    memory: dict[str, int] | None
    device_hours: float | None
    cost: float | None
    wall_clock_hours: float | None
    cost_basis: str


@dataclass(frozen=True, kw_only=True)
class Total:
    """Of the runs of one architecture; hours and cost are None where those of one run are."""

    arch: str
    runs: int
    tokens: int
    flops: float
    saved_flops: float
    device_hours: float | None
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`overrides` are the command's, `notes` sentences that belong below the table; `over_budget` is why a sweep would
    refuse. `wall_clock_hours` is with `parallel_runs` at once, in the order of the study."""

    study: str
    overrides: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
    label_heading: str
    notes: tuple[str, ...]
    currency: str
    parallel_runs: int
    wall_clock_hours: float | None
    over_budget: str | None
