"""The memory model against what autograd keeps, what a step allocates, and what caches take."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from archscale.bench.memory import measured_peak_bytes
from archscale.compose import groups
from archscale.model.lm import LanguageModel
from archscale.model.mixers.base import Mixer
from archscale.ops.activations import Step
from archscale.ops.causal_attention.kept import keys_seen
from archscale.ops.causal_attention.narrow import NARROW_BLOCK
from archscale.ops.segments import Segments
from archscale.registry import UserError
from archscale.scaling.count import count_parameters
from archscale.scaling.memory import generation_memory, training_memory
from archscale.spec import RunSpec
from archscale.train.optim import build_optimizer
from tests.model.architectures import packaged, paper_scale, small_run

EVERY = groups()["arch"]
ARCHITECTURES = pytest.mark.parametrize("name", EVERY)
HEADS = {"scale.num_heads": 8, "scale.num_kv_heads": 4}
# Attention keeps its weights below heads of 64, and makes them again above.
FORMS = pytest.mark.parametrize("head_dim", [16, 72], ids=["narrow", "fused"])


def run_of(name: str, *, length: int = 128, sequences: int = 2, width: int = 32, **changes) -> RunSpec:
    size = {"data.sequence_length": length, "data.validation_tokens": length, "optim.batch_tokens": length * sequences}
    return small_run(packaged(name, window=length // 4), **HEADS, **size, **{"scale.width": width, **changes})


def autograd_bytes(spec: RunSpec) -> int:
    """All storages that the graph of a loss holds, but parameters and their copies in bfloat16."""
    model, shape = LanguageModel(spec), (spec.batch_sequences, spec.data.sequence_length)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    copies = {(torch.bfloat16, parameter.shape) for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own and not is_copy(tensor):
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def is_copy(tensor: Tensor) -> bool:
        return {(tensor.dtype, tensor.shape), (tensor.dtype, tensor.t().shape)} & copies if tensor.ndim == 2 else False

    tokens_BT = torch.zeros(shape, dtype=torch.long)
    halves = [shape[1] // 2, shape[1] - shape[1] // 2]
    segments = Segments.of_lengths([halves] * shape[0]) if spec.data.separate_documents else None
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=spec.precision == "bfloat16"),
    ):
        hidden_BTD = model(tokens_BT, segments)
    del hidden_BTD
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@FORMS
@pytest.mark.parametrize(("precision", "documents"), [("float32", False), ("float32", True), ("bfloat16", False)])
@ARCHITECTURES
def test_activations_are_what_autograd_keeps(name, precision, documents, head_dim):
    changes = {"precision": precision, "data.separate_documents": documents, "scale.head_dim": head_dim}
    spec = run_of(name, length=96, sequences=5, **changes)
    predicted = training_memory(spec, device="cpu")
    copies = 0 if precision == "float32" else predicted.parameters / 2
    assert predicted.activations - copies == pytest.approx(autograd_bytes(spec), rel=0.005)


SIZES = {
    "activations": {"length": 192, "sequences": 2, "width": 48, "scale.head_dim": 16},
    "vocabulary": {"length": 64, "sequences": 2, "width": 32, "scale.head_dim": 8, "data.vocab_size": 4000},
    "tables": {"length": 8, "sequences": 1, "width": 64, "scale.head_dim": 8, "data.vocab_size": 4000},
    "parameters": {"length": 32, "sequences": 1, "width": 192, "scale.head_dim": 48},
}


LEADING = ["transformer_pp", "sambay", "sambay_2", "gdny", "sambay_da"]
CELLS = [(name, size) for name in EVERY for size in SIZES if name in LEADING or size == "activations"]


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize(("name", "size"), CELLS)
def test_the_peak_is_that_of_a_whole_step(name, size, recompute):
    spec = run_of(name, **SIZES[size], **{"execution.recompute": recompute})
    assert training_memory(spec, device="cpu").peak == pytest.approx(measured_peak_bytes(spec), rel=0.06)


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"precision": "bfloat16", "execution.recompute": True},
        {"execution.micro_batch_sequences": 1},
        {"execution.micro_batch_sequences": 1, "execution.recompute": True},
        {"data.separate_documents": True},
        {"arch.tie_embeddings": False, "data.vocab_size": 4000},
        {"arch.norm": "layer"},
        {"scale.head_dim": 72},
        {"scale.head_dim": 72, "execution.recompute": True},
        {"execution.backend": "torch"},
    ],
    ids=lambda changes: " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items()),
)
@pytest.mark.parametrize("name", ["transformer_pp", "sambay_da", "gdny"])
def test_the_peak_follows_how_a_step_is_carried_out(name, changes):
    spec = run_of(name, **SIZES["activations"] | changes)
    assert training_memory(spec, device="cpu").peak == pytest.approx(measured_peak_bytes(spec), rel=0.08)


@pytest.mark.parametrize("tied", [True, False])
@ARCHITECTURES
def test_parameters_and_moments_are_those_of_the_modules(name, tied):
    spec = run_of(name, **{"arch.tie_embeddings": tied})
    predicted, model = training_memory(spec), LanguageModel(spec)
    count = count_parameters(spec.arch, spec.scale, spec.data.vocab_size)
    assert predicted.parameters == predicted.gradients == 4 * count.total
    optimizer = build_optimizer(model, spec)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    tensors = [tensor for state in optimizer.state.values() for tensor in state.values()]
    assert predicted.optimizer == sum(tensor.nbytes for tensor in tensors)


def test_the_peak_holds_what_is_always_there_and_less_than_everything():
    for recompute in (False, True):
        memory = training_memory(run_of("sambay", **{"execution.recompute": recompute}))
        at_rest = memory.parameters + memory.optimizer
        assert at_rest + memory.activations < memory.peak
        assert memory.peak <= at_rest + memory.gradients + memory.activations + memory.workspace


def test_activations_grow_with_the_micro_batch_and_not_with_the_batch():
    spec = run_of("sambay", sequences=8)
    by_micro = {rows: training_memory(spec, micro_sequences=rows).activations for rows in (1, 2, 4, 8)}
    assert by_micro[8] == 8 * by_micro[1] == 4 * by_micro[2]
    double = replace(spec, optim=replace(spec.optim, batch_tokens=2 * spec.optim.batch_tokens))
    assert training_memory(double, micro_sequences=4) == training_memory(spec, micro_sequences=4)
    execution = replace(spec.execution, micro_batch_sequences=4)
    assert training_memory(replace(spec, execution=execution)).activations == by_micro[4]
    assert training_memory(spec, micro_sequences=1000) == training_memory(spec)


def test_a_gpu_makes_the_weights_of_attention_again_and_bfloat16_halves_most():
    spec = run_of("transformer_pp", length=512)
    full, mixed = (
        training_memory(replace(spec, precision=precision), device="cuda") for precision in ("float32", "bfloat16")
    )
    assert full.activations < training_memory(spec, device="cpu").activations
    assert 0.5 < mixed.activations / full.activations < 0.75
    half = replace(spec, data=replace(spec.data, sequence_length=256))
    assert training_memory(half, device="cuda", micro_sequences=4).activations == full.activations


@pytest.mark.parametrize(("length", "window"), [(32, None), (100, None), (100, 7), (1000, 128), (5, 5), (1, 1)])
def test_keys_that_blocks_see(length, window):
    """By listing the keys of every token's block: those any token of it sees, and those after it in the block."""
    seen = 0
    for token in range(length):
        first = token - token % NARROW_BLOCK
        last = min(first + NARROW_BLOCK, length)
        seen += len([key for key in range(last) if window is None or key > first - window])
    assert keys_seen(length, window, NARROW_BLOCK) == pytest.approx(seen / length)


@ARCHITECTURES
def test_generation_takes_what_the_caches_take(name):
    spec = run_of(name, length=32)
    model, memory = LanguageModel(spec), generation_memory(spec.arch, spec.scale, precision="float32")
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    for tokens in (1, 5, 32):
        cache, _ = model.prefill(torch.zeros((3, tokens), dtype=torch.long))
        assert cache.bytes() == 3 * memory.bytes(tokens)


def test_the_released_model_caches_5120_bytes_a_token():
    """Keys and values of one layer with 20 heads of 64, in bfloat16."""
    arch = packaged("phi4_mini_flash", window=512)
    memory = generation_memory(arch, paper_scale(arch, 32, head_dim=64))
    assert memory.bytes_per_token == 5120
    channels, attention_layers, recurrent_layers = 2 * 2560, 8, 9
    states = recurrent_layers * channels * (4 * 16 + 2 * 3)
    assert memory.fixed_bytes == attention_layers * 512 * 5120 + states


def test_a_mixer_without_formulas_is_named():
    class Silent(Mixer):
        defaults = forward = prefill = step = flops_per_token = None

    silent = Silent.__new__(Silent)
    with pytest.raises(
        UserError, match="^mixer Silent does not say what it keeps for the way back: give it kept_bytes"
    ):
        silent.kept_bytes(Step(length=1))
    with pytest.raises(UserError, match="^mixer Silent does not say what it caches: give it cache_bytes"):
        silent.cache_bytes(1, 2)
