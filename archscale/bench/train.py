"""`archscale bench train`: training steps of every architecture at equal size, on this machine.

tokens/s           forward, backward and AdamW, on random tokens; the median of rounds in which the models take turns
× first            tokens/s over those of the first architecture, Transformer++ unless told otherwise
× loop by token    tokens/s over those of the same model with its recurrences alone run as a loop over tokens; empty
                   where there are none
kB a token         what autograd keeps for the way back, at T and at 2T tokens a sequence; equal where memory is linear
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from archscale.bench.operators import OperatorRow, bench_operators
from archscale.bench.recurrences import has_recurrence, run_token_by_token
from archscale.bench.timing import alternate
from archscale.compose import groups, load_config
from archscale.model.lm import LanguageModel, ModelSpec
from archscale.registry import UserError, unknown
from archscale.scaling.count import count_parameters
from archscale.scaling.ladder import scale_to
from archscale.train.setup import choose_device

VOCABULARY = 256
FIRST = "transformer_pp"
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """`parameters`: non-embedding ones, for which every architecture's width is solved; `window` is that of all."""

    parameters: float = 1e6
    depth: int = 8
    head_dim: int = 16
    heads: int = 8
    window: int = 128
    sequence_length: int = 512
    sequences: int = 4
    rounds: int = 5
    threads: int = 2
    device: str = "cpu"
    precision: str = "float32"
    by_token: bool = True

    def __post_init__(self) -> None:
        counts = ("depth", "heads", "head_dim", "window", "sequence_length", "sequences", "rounds", "threads")
        for name in ("parameters", *counts):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise UserError(f"{name} = {value}: it must be a finite number, e.g. 1e6")
            if value < 1:
                raise UserError(f"{name.replace('_', ' ')} = {value}: it must be at least 1")
        if self.device not in DEVICES:
            raise unknown("device", self.device, DEVICES)
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class TrainRow:
    arch: str
    width: int
    parameters: int
    step_seconds: float
    tokens_per_second: float
    over_first: float
    over_by_token: float | None
    saved_bytes_per_token: float
    saved_bytes_per_token_at_double: float


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    settings: TrainSettings
    machine: str
    rows: tuple[TrainRow, ...]
    operators: tuple[OperatorRow, ...]


def bench_train(names: Sequence[str] | None, settings: TrainSettings) -> TrainReport:
    """One row an architecture, in the order of `names`; all packaged ones, Transformer++ first, without `names`.

    Raises:
        UserError: for an unknown architecture, a size that it cannot have, or a device that is not there.
    """
    device = choose_device(settings.device)
    torch.set_num_threads(settings.threads)
    names = list(names or sorted(groups()["arch"], key=lambda name: (name != FIRST, name)))
    models = {name: model_spec(name, settings) for name in names}
    trainers = {name: _Trainer(spec, settings, device) for name, spec in models.items()}
    seconds = alternate(trainers, rounds=settings.rounds, device=device)
    slow: dict[str, float] = {}
    if settings.by_token:
        with run_token_by_token():
            for name, trainer in trainers.items():
                if has_recurrence(trainer.model):
                    slow |= alternate({name: trainer}, rounds=1, device=device)
    tokens = settings.sequences * settings.sequence_length
    rows = tuple(
        TrainRow(
            arch=name,
            width=spec.scale.width,
            parameters=count_parameters(spec.arch, spec.scale, VOCABULARY).non_embedding,
            step_seconds=seconds[name],
            tokens_per_second=tokens / seconds[name],
            over_first=seconds[names[0]] / seconds[name],
            over_by_token=slow[name] / seconds[name] if name in slow else None,
            saved_bytes_per_token=trainers[name].saved_bytes(settings.sequence_length),
            saved_bytes_per_token_at_double=trainers[name].saved_bytes(2 * settings.sequence_length),
        )
        for name, spec in models.items()
    )
    operators: list[OperatorRow] = []
    if settings.by_token:
        operators = bench_operators(
            batch=settings.sequences, length=settings.sequence_length, rounds=settings.rounds, device=device
        )
    threads = f"{settings.threads} CPU thread{'' if settings.threads == 1 else 's'}"
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else threads
    return TrainReport(settings=settings, machine=machine, rows=rows, operators=tuple(operators))


class _Trainer:
    """Called, it does one training step on the same random tokens."""

    def __init__(self, spec: ModelSpec, settings: TrainSettings, device: torch.device) -> None:
        self.model = LanguageModel(spec).to(device)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.normal_(0.0, 0.02)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        generator = torch.Generator().manual_seed(0)
        shape = (settings.sequences, 2 * settings.sequence_length + 1)
        self.tokens_BT = torch.randint(0, VOCABULARY, shape, generator=generator).to(device)
        self.length = settings.sequence_length
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self._loss(self.length).backward()
        self.optimizer.step()

    def saved_bytes(self, length: int) -> float:
        """Bytes per token that the backward pass keeps, parameters left out, each storage counted once."""
        own = {parameter.untyped_storage().data_ptr() for parameter in self.model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = self._loss(length)
        del loss
        return sum(kept.values()) / (len(self.tokens_BT) * length)

    def _loss(self, length: int) -> Tensor:
        with self.autocast:
            return self.model.loss(self.tokens_BT[:, :length], self.tokens_BT[:, 1 : length + 1])


def sizes(text: str) -> list[float]:
    """1e6,4e6 as numbers.

    Raises:
        UserError: for what is none.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"parameters = {text}: give a number, or several with commas, e.g. 1e6,4e6") from None


def model_spec(name: str, settings: TrainSettings) -> ModelSpec:
    """
    Raises:
        UserError: for a shape that the architecture cannot have.
    """
    scale = {
        "depth": settings.depth,
        "head_dim": settings.head_dim,
        "num_heads": settings.heads,
        "num_kv_heads": "null",
        "width": "null",
        "target_params": f"{settings.parameters:.15g}",
    }
    shape = [f"scale.{key}={value}" for key, value in scale.items()]
    config = load_config([f"arch={name}", f"arch.window={settings.window}", *shape])
    return ModelSpec(arch=config.arch, scale=scale_to(config.scale, config.arch, VOCABULARY), vocab_size=VOCABULARY)
