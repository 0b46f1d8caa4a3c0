"""Operators of `archscale bench train`: the fast form against the definition, forward and backward.

For a recurrence the definition is a loop over tokens, so its ratio is the gain over a token-by-token scan.

Shapes: B batch, T positions, D channels, N state size, H heads, G key/value heads, K key size, V value size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize, softplus

from archscale.bench.timing import alternate
from archscale.ops.backend import Backend
from archscale.ops.causal_attention import causal_attention
from archscale.ops.causal_conv import causal_conv
from archscale.ops.gated_delta_rule import gated_delta_rule
from archscale.ops.selective_scan import selective_scan
from archscale.ops.ssd_scan import ssd_scan

Run = Callable[[Backend], Tensor]


@dataclass(frozen=True, kw_only=True)
class OperatorRow:
    operator: str
    shape: str
    seconds: float
    reference_seconds: float

    @property
    def ratio(self) -> float:
        return self.reference_seconds / self.seconds


def bench_operators(*, batch: int, length: int, rounds: int, device: torch.device) -> list[OperatorRow]:
    """Rows for the operators that mix along T, at about the sizes of a model of a million parameters."""
    rows = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cases = _cases(batch, length, device)
    for name, (shape, inputs, run) in cases.items():
        jobs = {backend: _both_ways(inputs, run, backend) for backend in ("auto", "reference")}
        seconds = alternate(jobs, rounds=rounds, device=device)
        rows.append(
            OperatorRow(operator=name, shape=shape, seconds=seconds["auto"], reference_seconds=seconds["reference"])
        )
    return rows


def _cases(B: int, T: int, device: torch.device) -> dict[str, tuple[str, Sequence[Tensor], Run]]:
    def random(*shape: int) -> Tensor:
        return torch.randn(shape, device=device)

    u, delta, A_N, B_, C = random(B, T, 160), softplus(random(B, T, 160) - 4), random(160, 16), *_pair(B, T, 16, device)
    scan = [u, delta, -A_N.exp(), B_, C, random(160)]
    x, step, A_H, B2, C2 = random(B, T, 20, 8), softplus(random(B, T, 20) - 4), random(20), *_pair(B, T, 16, device)
    dual = [x, step, -A_H.exp(), B2, C2, random(20)]
    q, k = (normalize(random(B, T, 2, 32), dim=-1) for _ in range(2))
    delta_rule = [q, k, random(B, T, 2, 64), logsigmoid(random(B, T, 2) + 3), 2 * random(B, T, 2).sigmoid()]
    attention = [random(B, T, 8, 16), random(B, T, 2, 16), random(B, T, 2, 16)]
    conv = [random(B, T, 160), random(160, 4), random(160)]
    return {
        "selective scan": ("D 160, N 16", scan, lambda backend: selective_scan(*scan, backend=backend)[0]),
        "selective scan, torch": (
            "D 160, N 16",
            scan,
            lambda backend: selective_scan(*scan, backend="torch" if backend == "auto" else backend)[0],
        ),
        "state-space dual": ("H 20, P 8, N 16", dual, lambda backend: ssd_scan(*dual, backend=backend)[0]),
        "gated delta rule": (
            "H 2, K 32, V 64",
            delta_rule,
            lambda backend: gated_delta_rule(*delta_rule, backend=backend)[0],
        ),
        "full attention": (
            "H 8, G 2, K 16",
            attention,
            lambda backend: causal_attention(*attention, backend=backend),
        ),
        "window attention": (
            "H 8, G 2, K 16, W 128",
            attention,
            lambda backend: causal_attention(*attention, window=128, backend=backend),
        ),
        "convolution": ("D 160, K 4", conv, lambda backend: causal_conv(*conv, backend=backend)),
    }


def _pair(B: int, T: int, N: int, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.randn(B, T, N, device=device), torch.randn(B, T, N, device=device)


def _both_ways(inputs: Sequence[Tensor], run: Run, backend: Backend) -> Callable[[], object]:
    for tensor in inputs:
        tensor.requires_grad_()
    weight: list[Tensor] = []

    def job() -> object:
        y = run(backend)
        if not weight:
            weight.append(torch.randn_like(y))
        return torch.autograd.grad(y, list(inputs), weight[0])

    return job
