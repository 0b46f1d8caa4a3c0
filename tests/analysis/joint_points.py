"""Synthetic points of the laws with several inputs, and their equations written once more."""

import numpy as np

TRUTHS = {
    "chinchilla": {"A": 400.0, "B": 1000.0, "E": 1.8, "alpha": 0.34, "beta": 0.28},
    "chinchilla_tied": {"A": 400.0, "B": 1000.0, "E": 1.8, "alpha": 0.34},
    "open_lm": {"A": 166.0, "B": 366.0, "E": 1.83, "b": -0.27},
    "kaplan": {"alpha": 0.076, "beta": 0.095, "Nc": 8.8e13, "Dc": 5.4e13},
    "data_constrained": {
        "N0": 5.8e7, "D0": 1.16e9, "E": 1.87, "alpha": 0.35, "beta": 0.34, "R_N": 5.31, "R_D": 15.4
    },
    "annealing": {"A": 0.5, "K": 0.4, "L0": 2.6, "alpha": 0.5},
    "growth_joint": {"A": 1.79, "a": -0.713, "b": 0.307},
}  # fmt: skip


def crossed(*axes: np.ndarray) -> np.ndarray:
    """Every combination, (n, I)."""
    return np.array([[*place] for place in np.array(np.meshgrid(*axes, indexing="ij")).reshape(len(axes), -1).T])


SIZES, TOKENS = np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)
INPUTS = {
    "open_lm": crossed(SIZES, np.array([5.0, 20.0, 80.0, 320.0])),
    "data_constrained": np.array(
        [(N, U * epochs, U) for N in np.geomspace(2e7, 4e9, 4) for U in (1e8, 4e8, 4e9) for epochs in (1, 4, 12, 40)]
    ),
    "annealing": crossed(np.geomspace(1.0, 30.0, 6), np.array([0.0, 0.05, 0.2])),
}


def inputs(law: str) -> np.ndarray:
    return INPUTS.get(law, crossed(SIZES, TOKENS))


def loss(law: str, x: np.ndarray, p: dict[str, float]) -> np.ndarray:
    """As the papers write it."""
    if law == "chinchilla":
        return p["A"] / x[:, 0] ** p["alpha"] + p["B"] / x[:, 1] ** p["beta"] + p["E"]
    if law == "chinchilla_tied":
        return p["A"] / x[:, 0] ** p["alpha"] + p["B"] / x[:, 1] ** p["alpha"] + p["E"]
    if law == "open_lm":
        N, M = x.T
        return p["A"] * N ** p["b"] + p["B"] * (np.sqrt(6) * M * N) ** p["b"] + p["E"]
    if law == "kaplan":
        return ((p["Nc"] / x[:, 0]) ** (p["alpha"] / p["beta"]) + p["Dc"] / x[:, 1]) ** p["beta"]
    if law == "annealing":
        return p["A"] * x[:, 0] ** -p["alpha"] - p["K"] * x[:, 1] + p["L0"]
    if law == "growth_joint":
        return p["A"] * x[:, 0] ** p["a"] * x[:, 1] ** p["b"]
    return np.array([_data_constrained(*row, p) for row in x])


def _data_constrained(N: float, D: float, U: float, p: dict[str, float]) -> float:
    """Muennighoff et al. 2023, section 3.1, with G of Hoffmann et al. 2022, equation 4."""
    alpha, beta, A, B = p["alpha"], p["beta"], p["N0"] ** p["alpha"], p["D0"] ** p["beta"]
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    compute = (U * G) ** ((alpha + beta) / alpha)  # C/6 of which U is the optimal number of tokens
    V = min(N, G * compute ** (beta / (alpha + beta)))
    N_worth = V + V * p["R_N"] * (1 - np.exp(-max(N / V - 1, 0) / p["R_N"]))
    D_worth = U + U * p["R_D"] * (1 - np.exp(-max(D / U - 1, 0) / p["R_D"]))
    return A / N_worth**alpha + B / D_worth**beta + p["E"]
