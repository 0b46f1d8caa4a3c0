"""FLOPs of mixers against a count of what their definitions really multiply and add."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from archscale.model.layers import Linear
from archscale.model.mixers.attention import pairs_per_token
from archscale.ops.causal_attention.reference import visible
from tests.model.architectures import architecture, layer, small_model

ELEMENTWISE = {"mul": 1, "add": 1, "sub": 1, "rsub": 1, "div": 1, "pow": 1, "addcmul": 2}
LENGTH = 24


class Arithmetic(TorchDispatchMode):
    """Counts multiplications and additions, those of matrix products as 2 a term."""

    def __init__(self, *, only_products: bool = False) -> None:
        super().__init__()
        self.only_products, self.count = only_products, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self.count += 2 * result.numel() * args[0].shape[-1]
        elif self.only_products:
            pass
        elif name in ELEMENTWISE and result.is_floating_point() and result.ndim:
            self.count += ELEMENTWISE[name] * result.numel()
        elif name in ("sum", "mean"):
            self.count += args[0].numel()
        return result


def counted(mixer: torch.nn.Module, x: Tensor, shared: dict[str, Tensor]) -> float:
    """Per token, without the Linear layers."""
    with torch.no_grad(), Arithmetic() as arithmetic:
        mixer(x, shared, None)
    linear = sum(2 * module.weight.numel() for module in mixer.modules() if isinstance(module, Linear))
    return arithmetic.count / x[..., 0].numel() - linear


def mixer_of(name: str, **options) -> tuple[torch.nn.Module, Tensor, dict[str, Tensor]]:
    spans = [(1, [layer("mamba", "memory")])] if name == "gmu" else []
    arch = architecture(*spans, ("rest", [layer(name, **options)]))
    heads = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
    model = small_model(arch, **heads, **{"execution.backend": "reference"})
    x, shared = torch.randn(2, LENGTH, 16, dtype=torch.float64), {}
    if spans:
        model.blocks[0].mixer(x, shared, None)
    return model.blocks[len(spans)].mixer, x, {key: tensor.detach() for key, tensor in shared.items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mamba", {}),
        ("mamba", {"state_size": 5, "conv_size": 2}),
        ("mamba2", {}),
        ("mamba2", {"state_size": 24, "head_dim": 2}),
        ("gated_deltanet", {}),
        ("gated_deltanet", {"key_head_dim": 6, "num_heads": 3}),
        ("gmu", {}),
        ("gmu", {"normalized": True}),
    ],
)
def test_recurrences_and_gates_count_as_their_definitions_do(name, options):
    mixer, x, shared = mixer_of(name, **options)
    assert mixer.flops_per_token(LENGTH) == pytest.approx(counted(mixer, x, shared), rel=0.03)


@pytest.mark.parametrize(("length", "window"), [(1, None), (24, None), (24, 6), (5, 6), (24, 24), (24, 1)])
def test_pairs_are_those_of_the_mask(length, window):
    mask = visible(length, window=window, document_BT=None, device=torch.device("cpu"))
    assert pairs_per_token(length, window) == pytest.approx(mask.sum().item() / length)


@pytest.mark.parametrize(("kind", "more"), [("attention", 1), ("differential_attention", 3 / 2)])
@pytest.mark.parametrize("window", [None, 6])
def test_attention_counts_the_products_of_visible_pairs(kind, more, window):
    """The definition multiplies hidden pairs as well: its products are scaled to the visible ones.

    That of differential attention subtracts the maps before they meet the values; without maps in memory each meets
    them by itself, one product more to its two.
    """
    name = kind if window is None else kind.replace("attention", "window_attention")
    mixer, x, _ = mixer_of(name)
    heads = mixer._project(x)
    with torch.no_grad(), Arithmetic(only_products=True) as products:
        mixer.core(*heads, window, None)
    visible_share = pairs_per_token(LENGTH, window) / LENGTH
    assert mixer.flops_per_token(LENGTH) == pytest.approx(products.count / (2 * LENGTH) * visible_share * more)
