"""Memory of training and of generation, from formulas of what every layer keeps; nothing is allocated or run.

    at rest      parameters + moments of AdamW
    logits       at rest + all activations + logits, their softmax and its gradient
    layer i      at rest + activations of layers 1 … i + gradients of layers i … d + what its own way back needs
    end          at rest + all gradients, those of tied embeddings three times        the peak is the largest of them

AdamW itself, fused, needs no more than is there at the end.

`recompute` (execution.recompute) leaves the input of every layer and what later layers read, and layer i makes the rest
of its activations again. With several micro-batches a step all gradients are there at every moment but the first.

A mixer's part is `Mixer.kept_bytes`, with what autograd really keeps checked in tests/scaling/test_memory_model.py;
peaks of whole steps against these are in docs/memory.md, with what is assumed of CUDA.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from archscale.scaling.count import distinct_layers
from archscale.spec import ArchSpec, RunSpec, ScaleSpec

if TYPE_CHECKING:
    from archscale.ops.activations import Step

FLOAT = 4
# Token ids of inputs and targets are int64.
TOKEN_IDS = 2 * 8


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """Bytes on one device. `peak` is less than the sum of the others, which are never all there at once.

    `optimizer`: two float32 moments a parameter and a step counter a tensor; `activations`: kept for the way back when
    the forward pass is over; `workspace`: the most that is needed beside them at any moment.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    workspace: int
    peak: int


@dataclass(frozen=True, kw_only=True)
class GenerationMemory:
    """Bytes of the caches of one sequence after its prompt, as `Cache.bytes` counts them.

    `bytes_per_token`: keys and values of full attention; `fixed_bytes`: windows, states, inputs of convolutions.
    """

    bytes_per_token: int
    fixed_bytes: int

    def bytes(self, tokens: int) -> int:
        return self.fixed_bytes + tokens * self.bytes_per_token


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Bytes of one layer; with recomputation `stays` of the `kept` are there from the forward pass on."""

    parameters: int
    tensors: int
    kept: float
    stays: float
    working: float


def training_memory(
    spec: RunSpec, *, micro_sequences: int | None = None, device: Literal["cpu", "cuda"] | None = None
) -> TrainingMemory:
    """`micro_sequences` go through the model at once; without it as many as the run's execution says.

    `device` None is that of the run; where that is `auto`, CUDA if torch sees it here.

    Raises:
        UserError: where the model cannot be built, or one of its mixers has no formula.
    """
    micro = min(micro_sequences or spec.execution.micro_batch_sequences or spec.batch_sequences, spec.batch_sequences)
    step = _step(spec, micro, device)
    recompute, accumulates, tied = spec.execution.recompute, micro < spec.batch_sequences, spec.arch.tie_embeddings
    tokens, width, vocabulary = micro * step.length, spec.scale.width, spec.data.vocab_size
    layers = list(_layers(spec, step))

    table = FLOAT * width * vocabulary
    vectors = 1 if spec.arch.norm == "rms" else 2
    matrices = sum(layer.parameters for layer in layers) + FLOAT * vectors * width
    parameters = matrices + (1 if tied else 2) * table
    tensors = sum(layer.tensors for layer in layers) + vectors + (1 if tied else 2)
    optimizer = 2 * parameters + FLOAT * tensors
    at_rest = parameters + optimizer + (parameters if accumulates else 0)

    # Autocast's copies of weights are kept with the activations, and made again with them.
    copies = (matrices + table) / 2 if step.mixed and not recompute else 0.0
    start = tokens * TOKEN_IDS + copies
    stays = [tokens * (layer.stays if recompute else layer.kept) for layer in layers]
    activations = start + sum(stays) + tokens * _head_kept(spec.arch, width, step)

    moments = [activations + _loss_working(tokens * vocabulary, step)]
    # Of tied embeddings the head's gradient waits for that of the embedding; autograd puts their sum beside both.
    left, made = start + sum(stays), table if tied or not accumulates else 0
    for layer, own in zip(reversed(layers), reversed(stays), strict=True):
        again = tokens * layer.kept - own if recompute else 0.0
        if accumulates:
            moments.append(left + again + tokens * layer.working + made + layer.parameters)
        else:
            made += layer.parameters
            moments.append(left + again + tokens * layer.working + made)
        left -= own
    moments.append(left + made + (2 if tied else 1) * table)
    return TrainingMemory(
        parameters=parameters,
        gradients=parameters,
        optimizer=optimizer,
        activations=round(activations),
        workspace=max(0, round(max(moments) - activations)),
        peak=at_rest + round(max(moments)),
    )


def generation_memory(
    arch: ArchSpec, scale: ScaleSpec, *, precision: Literal["float32", "bfloat16"] = "bfloat16"
) -> GenerationMemory:
    """
    Raises:
        UserError: where the model cannot be built, or one of its mixers has no formula.
    """
    low = 2 if precision == "bfloat16" else 4
    stack = distinct_layers(arch, scale, vocab_size=1).stack
    fixed, more = (sum(mixer.cache_bytes(tokens, low) for _, mixer in stack) for tokens in (0, 1))
    return GenerationMemory(bytes_per_token=more - fixed, fixed_bytes=fixed)


def _step(spec: RunSpec, micro: int, device: str | None) -> "Step":
    from archscale.ops.activations import Step

    device = device or spec.execution.device
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Step(
        length=spec.data.sequence_length,
        sequences=micro,
        mixed=spec.precision == "bfloat16",
        cuda=device == "cuda",
        documents=spec.data.separate_documents,
        compiled=spec.execution.backend == "auto",
    )


def _layers(spec: RunSpec, step: "Step") -> Iterator[_Layer]:
    from archscale.model.block import mlp_kept_bytes, norm_kept_bytes

    arch, width, inner = spec.arch, spec.scale.width, spec.arch.mlp_ratio * spec.scale.width
    distinct = distinct_layers(arch, spec.scale, spec.data.vocab_size)
    block = distinct.block
    outside = [p.numel() for part in (block.mixer_norm, block.mlp_norm, block.mlp) for p in part.parameters()]
    norm, mlp = norm_kept_bytes(arch, width, step), mlp_kept_bytes(arch, width, step)
    # Gradients of the stream, of the MLP's product, and of both its factors, when the product itself is gone.
    working = FLOAT * width + step.low * 2 * inner
    known: dict[int, _Layer] = {}
    for layer, mixer in distinct.stack:
        if id(mixer) not in known:
            sizes = outside + [parameter.numel() for parameter in mixer.parameters()]
            written = sum(mixer.shared_width(name) for name in layer.write) + inner * len(layer.mlp_write)
            known[id(mixer)] = _Layer(
                parameters=FLOAT * sum(sizes),
                tensors=len(sizes),
                kept=mixer.kept_bytes(step) + 2 * norm + mlp,
                stays=FLOAT * width + step.low * written,
                # The MLP's way back comes first, and frees what the MLP kept.
                working=max(working, mixer.working_bytes(step) - norm - mlp),
            )
        yield known[id(mixer)]


def _head_kept(arch: ArchSpec, width: int, step: "Step") -> float:
    from archscale.model.block import norm_kept_bytes

    return norm_kept_bytes(arch, width, step) + step.read(width)


def _loss_working(logits: int, step: "Step") -> int:
    """Bytes for logits and their gradient; in one pass, or of a chunk, the logarithms of softmax and their gradient."""
    from archscale.ops.cross_entropy import CHUNK_LOGITS, CHUNKED_FROM

    if step.cuda or logits < CHUNKED_FROM:
        # The logits themselves are gone when the gradients are made.
        return FLOAT * 3 * logits
    return FLOAT * (2 * logits + 3 * CHUNK_LOGITS)
