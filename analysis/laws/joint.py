"""Laws of two inputs: parameters N and training tokens D.

chinchilla        L = A·N^-alpha + B·D^-beta + E       Hoffmann et al. 2022 (arXiv 2203.15556), equation 2
chinchilla_tied   the same with beta = alpha           Muennighoff et al. 2023 (arXiv 2305.16264), section 6
open_lm           L = A·N^b + B·6^(b/2)·(M·N)^b + E    Gadre et al. 2024 (arXiv 2403.08540), equation 4, M = D/N
kaplan            L = ((Nc/N)^(alpha/beta) + Dc/D)^beta   Kaplan et al. 2020 (arXiv 2001.08361), equation 1.5
growth_joint      y = A·N^a·D^b                        of an optimal learning rate: Li et al. 2025 (arXiv 2503.04715)
"""

import numpy as np

from analysis.laws.law import LAWS, Law, Parameter

_E = Parameter("E", low=0.0, unit="y", meaning="irreducible loss")
_A = Parameter("A", low=0.0, meaning="amplitude of N")
_B = Parameter("B", low=0.0, meaning="amplitude of D")
_ALPHA = Parameter("alpha", low=0.0, high=3.0, meaning="exponent of N")
_BETA = Parameter("beta", low=0.0, high=3.0, meaning="exponent of D")

LAWS.register(
    Law(
        name="chinchilla",
        equation="A·N^-alpha + B·D^-beta + E",
        inputs=("N", "D"),
        nonlinear=(_ALPHA, _BETA),
        linear=(_A, _B, _E),
        design=lambda N, D, alpha, beta: np.column_stack([N**-alpha, D**-beta, np.ones_like(N)]),
        order=("A", "B", "E", "alpha", "beta"),
        source="Hoffmann et al. 2022, arXiv 2203.15556, eq. 2",
        separate=True,
    )
)
LAWS.register(
    Law(
        name="chinchilla_tied",
        equation="A·N^-alpha + B·D^-alpha + E",
        inputs=("N", "D"),
        nonlinear=(Parameter("alpha", low=0.0, high=3.0, meaning="exponent"),),
        linear=(_A, _B, _E),
        design=lambda N, D, alpha: np.column_stack([N**-alpha, D**-alpha, np.ones_like(N)]),
        order=("A", "B", "E", "alpha"),
        source="Muennighoff et al. 2023, arXiv 2305.16264, section 6",
        separate=True,
    )
)
LAWS.register(
    Law(
        name="open_lm",
        equation="A·N^b + B·6^(b/2)·(M·N)^b + E",
        inputs=("N", "M"),
        nonlinear=(Parameter("b", low=-3.0, high=0.0, meaning="exponent"),),
        linear=(_A, Parameter("B", low=0.0, meaning="amplitude of tokens"), _E),
        design=lambda N, M, b: np.column_stack([N**b, 6 ** (b / 2) * (M * N) ** b, np.ones_like(N)]),
        order=("A", "B", "E", "b"),
        source="Gadre et al. 2024, arXiv 2403.08540, eq. 4",
    )
)


def _kaplan(
    N: np.ndarray, D: np.ndarray, alpha: np.ndarray, beta: np.ndarray, Nc: np.ndarray, Dc: np.ndarray
) -> np.ndarray:
    """Through logarithms: alpha / beta may be large on the way to an optimum."""
    return np.asarray(np.exp(beta * np.logaddexp(alpha / beta * np.log(Nc / N), np.log(Dc / D))))


LAWS.register(
    Law(
        name="kaplan",
        equation="((Nc/N)^(alpha/beta) + Dc/D)^beta",
        inputs=("N", "D"),
        nonlinear=(
            Parameter("alpha", low=1e-3, high=3.0, meaning="exponent of N"),
            Parameter("beta", low=1e-3, high=3.0, meaning="exponent of D"),
            Parameter("Nc", low=0.0, unit="N", meaning="scale of N", logarithmic=True),
            Parameter("Dc", low=0.0, unit="D", meaning="scale of D", logarithmic=True),
        ),
        linear=(),
        design=lambda N, D, alpha, beta, Nc, Dc: np.zeros((len(N), 0)),
        fixed=_kaplan,
        source="Kaplan et al. 2020, arXiv 2001.08361, eq. 1.5",
        separate=True,
    )
)
LAWS.register(
    Law(
        name="growth_joint",
        equation="A·N^a·D^b",
        inputs=("N", "D"),
        nonlinear=(
            Parameter("a", low=-3.0, high=3.0, meaning="exponent of N"),
            Parameter("b", low=-3.0, high=3.0, meaning="exponent of D"),
        ),
        linear=(Parameter("A", low=0.0, meaning="amplitude"),),
        design=lambda N, D, a, b: (N**a * D**b)[:, None],
        source="Li et al. 2025, arXiv 2503.04715",
        separate=True,
    )
)
