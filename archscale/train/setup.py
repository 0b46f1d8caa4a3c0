"""Everything a run needs before its first step, built from its spec alone."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from archscale.data.corpus import Corpus, open_corpus
from archscale.data.sampling import Integers, Sampler, validation_batches
from archscale.data.tokenizing import TOKENIZERS
from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel
from archscale.ops.segments import Segments
from archscale.registry import UserError
from archscale.spec import RunSpec
from archscale.train.optim import build_optimizer

_EVALUATION_TOKENS = 8192


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """`micro_sequences` sequences go through the model at once; a batch is accumulated from them."""

    spec: RunSpec
    corpus: Corpus
    model: LanguageModel
    optimizer: torch.optim.AdamW
    sampler: Sampler
    held_out: list[tuple[Integers, Integers]]
    device: torch.device
    autocast: torch.autocast
    micro_sequences: int

    def loss(self, inputs: Integers, targets: Integers, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean loss in nats per token of the model as it is, for token ids of shape (rows, T)."""
        inputs_BT, targets_BT = (torch.from_numpy(part).to(self.device) for part in (inputs, targets))
        segments = None
        if self.spec.data.separate_documents:
            segments = Segments.after(inputs_BT, TOKENIZERS[self.spec.data.tokenizer].end_of_document)
        with self.autocast:
            return self.model.loss(inputs_BT, targets_BT, segments, label_smoothing=label_smoothing)


def set_up(spec: RunSpec, root: Path, *, halvings: int = 0) -> Workbench:
    """`halvings`: how often to halve the micro-batch, after attempts that ran out of memory.

    Raises:
        UserError: when the device is not there, or the corpus is not the one the run was planned with.
    """
    device = choose_device(spec.execution.device)
    torch.set_num_threads(spec.execution.threads)
    corpus = open_corpus(spec.data, root)
    model = LanguageModel(spec)
    initialize(model, spec)
    model.to(device)
    length = spec.data.sequence_length
    micro = spec.execution.micro_batch_sequences or spec.batch_sequences
    return Workbench(
        spec=spec,
        corpus=corpus,
        model=model,
        optimizer=build_optimizer(model, spec),
        sampler=Sampler(
            tokens=corpus.train, sequence_length=length, batch_sequences=spec.batch_sequences, seed=spec.seed
        ),
        held_out=validation_batches(
            corpus.validation,
            sequence_length=length,
            total_tokens=spec.data.validation_tokens,
            batch_sequences=max(1, _EVALUATION_TOKENS // length),
        ),
        device=device,
        autocast=torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bfloat16"),
        micro_sequences=max(1, min(micro, spec.batch_sequences) >> halvings),
    )


def choose_device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "execution.device = cuda: torch sees no GPU here; use execution.device=cpu, or a GPU build of torch"
        )
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)
