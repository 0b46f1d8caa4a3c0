"""Laws of more than size and tokens: repeated data, and the learning rate on its way down.

data_constrained   L = (N0/N′)^alpha + (D0/D′)^beta + E
                   D′ = U + U·R_D·(1 − exp(−(D/U − 1)/R_D))        U unique tokens, D tokens seen
                   N′ = V + V·R_N·(1 − exp(−(N/V − 1)/R_N))
                   V = min(N, (alpha/beta)^(1/alpha)·N0·(U/D0)^(beta/alpha))
                   Muennighoff et al. 2023 (arXiv 2305.16264), equations 5 and 6, with A = N0^alpha, B = D0^beta;
                   V is the compute-optimal size for U tokens
annealing          L = A·S1^-alpha − K·S2 + L0
                   Tissue et al. 2024 (arXiv 2408.11029), equation 1; S1 is the sum of the learning rates and S2 the
                   annealed area (analysis/annealing.py)
"""

import numpy as np

from analysis.laws.law import LAWS, Law, Parameter


def _repeated(value: np.ndarray, unique: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """What `value` is worth when all beyond `unique` is repeated: the first repetition most, many nothing more."""
    repetitions = np.maximum(value / unique - 1, 0.0)
    return np.asarray(unique * (1 + decay * -np.expm1(-repetitions / decay)))


def _data_constrained(
    N: np.ndarray,
    D: np.ndarray,
    U: np.ndarray,
    alpha: np.ndarray,
    beta: np.ndarray,
    N0: np.ndarray,
    D0: np.ndarray,
    R_N: np.ndarray,
    R_D: np.ndarray,
) -> np.ndarray:
    # No smaller than N·e^-60, where every further parameter is in excess and quotients stay finite.
    below = np.log(alpha / beta) / alpha + beta / alpha * np.log(U / D0) + np.log(N0 / N)
    size = _repeated(N, N * np.exp(np.clip(below, -60, 0)), R_N)
    tokens = _repeated(D, np.minimum(D, U), R_D)
    return np.asarray((N0 / size) ** alpha + (D0 / tokens) ** beta)


LAWS.register(
    Law(
        name="data_constrained",
        equation="(N0/N′)^alpha + (D0/D′)^beta + E",
        inputs=("N", "D", "U"),
        nonlinear=(
            Parameter("alpha", low=0.01, high=3.0, meaning="exponent of N"),
            Parameter("beta", low=0.01, high=3.0, meaning="exponent of D"),
            Parameter("N0", low=0.0, unit="N", meaning="scale of N", logarithmic=True),
            Parameter("D0", low=0.0, unit="D", meaning="scale of D", logarithmic=True),
            Parameter("R_N", low=0.05, high=1000.0, meaning="decay of excess parameters", logarithmic=True),
            Parameter("R_D", low=0.05, high=1000.0, meaning="decay of repeated tokens", logarithmic=True),
        ),
        linear=(Parameter("E", low=0.0, unit="y", meaning="irreducible loss"),),
        design=lambda N, *rest: np.ones((len(N), 1)),
        fixed=_data_constrained,
        order=("N0", "D0", "E", "alpha", "beta", "R_N", "R_D"),
        source="Muennighoff et al. 2023, arXiv 2305.16264, eqs. 5 and 6",
        shared_units=(("D", "U"),),
    )
)
LAWS.register(
    Law(
        name="annealing",
        equation="A·S1^-alpha − K·S2 + L0",
        inputs=("S1", "S2"),
        nonlinear=(Parameter("alpha", low=0.0, high=3.0, meaning="exponent of S1"),),
        linear=(
            Parameter("A", low=0.0, meaning="amplitude"),
            Parameter("K", low=0.0, meaning="gain of annealing"),
            Parameter("L0", low=0.0, unit="y", meaning="irreducible loss"),
        ),
        design=lambda S1, S2, alpha: np.column_stack([S1**-alpha, -S2, np.ones_like(S1)]),
        order=("A", "K", "L0", "alpha"),
        source="Tissue et al. 2024, arXiv 2408.11029, eq. 1",
        zero_inputs=("S2",),
    )
)
