"""Learning rate over a run: linear warm-up from 0, then constant or linear decay to 0.

    step s counts from 0 and is the step about to be taken: warm-up (s+1)/W for s < W, then 1 − (s−W)/(S−W)

Ren et al. 2025 (arXiv 2507.06607), section 3.1.
"""

from archscale.spec import OptimSpec


def learning_rate_factor(optim: OptimSpec, step: int) -> float:
    """Multiple of the run's peak learning rate for step `step` of `optim.steps`."""
    if step < optim.warmup_steps:
        return (step + 1) / optim.warmup_steps
    if optim.schedule == "constant":
        return 1.0
    return 1.0 - (step - optim.warmup_steps) / (optim.steps - optim.warmup_steps)
