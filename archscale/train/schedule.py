"""Learning rate over a run: linear warm-up from 0, then constant, or linear decay to 0, or one after the other.

    step k counts from 0 and is the step about to be taken, S steps, W of them warm-up, decay from step s on

    k < W       (k + 1) / W
    W ≤ k < s   1
    s ≤ k < S   1 − (k − s) / (S − s)

    linear      s = W
    constant    s = S
    wsd         s = max(W, S − max(1, round(f · S))),  f = optim.decay_fraction: warm-up, stable, decay

Up to s the rate of a wsd run does not depend on S or f, so runs that differ in these share their first steps
(archscale/trunks.py). Ren et al. 2025 (arXiv 2507.06607), section 3.1; WSD: Hu et al. 2024 (arXiv 2404.06395).
"""

from archscale.spec import OptimSpec


def learning_rate_factor(optim: OptimSpec, step: int) -> float:
    """Multiple of the run's peak learning rate for step `step` of `optim.steps`."""
    if step < optim.warmup_steps:
        return (step + 1) / optim.warmup_steps
    start = optim.decay_start
    if step < start:
        return 1.0
    return 1.0 - (step - start) / (optim.steps - start)
