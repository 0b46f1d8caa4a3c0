"""What the columns of runs and of their curves mean, with their units."""

from collections.abc import Mapping
from dataclasses import dataclass

from analysis import formatting


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column means, as an axis label says it, and its unit (empty for a pure number or a text)."""

    meaning: str
    unit: str = ""

    @property
    def label(self) -> str:
        return f"{self.meaning} ({formatting.unit(self.unit)})" if self.unit else self.meaning

    @property
    def phrase(self) -> str:
        """The meaning inside a sentence; a word in capitals stays."""
        return self.meaning[:1].lower() + self.meaning[1:] if self.meaning[1:2].islower() else self.meaning


COLUMNS: Mapping[str, Column] = {
    "run_id": Column(meaning="Run"),
    "architecture": Column(meaning="Architecture name"),
    "title": Column(meaning="Architecture"),
    "depth": Column(meaning="Depth", unit="layers"),
    "width": Column(meaning="Model width"),
    "parameters": Column(meaning="Parameters"),
    "non_embedding_parameters": Column(meaning="Parameters without embeddings"),
    "tokens": Column(meaning="Training tokens", unit="tokens"),
    "compute": Column(meaning="Training compute", unit="FLOPs"),
    "flops_accounting": Column(meaning="How the FLOPs are counted"),
    "validation_loss": Column(meaning="Validation loss", unit="nats/token"),
    "train_loss": Column(meaning="Training loss", unit="nats/token"),
    "unigram_entropy": Column(meaning="Unigram entropy of the corpus", unit="nats/token"),
    "state": Column(meaning="State"),
    "failure": Column(meaning="Class of failure"),
    "message": Column(meaning="Message of the last attempt"),
    "setting": Column(meaning="What the study set for it beside the architecture"),
    "seed": Column(meaning="Seed"),
    "recipe": Column(meaning="Run id of its twin with seed 0"),
    "parametrization": Column(meaning="Parametrization"),
    "parametrization_title": Column(meaning="Parametrization as figures name it"),
    "variant": Column(meaning="Parametrization with its title and options"),
    "version": Column(meaning="Version of the architecture"),
    "learning_rate": Column(meaning="Global learning rate"),
    "base_learning_rate": Column(meaning="Base learning rate"),
    "batch_tokens": Column(meaning="Batch size", unit="tokens"),
    "sequence_length": Column(meaning="Sequence length", unit="tokens"),
    "window": Column(meaning="Attention window", unit="tokens"),
    "precision": Column(meaning="Precision"),
    "corpus_hash": Column(meaning="Content hash of the corpus"),
    "tokens_per_second": Column(meaning="Training throughput", unit="tokens/s"),
    "train_seconds": Column(meaning="Training time", unit="s"),
    "attempts": Column(meaning="Attempts"),
    "git_commit": Column(meaning="Code commit"),
    "git_dirty": Column(meaning="Code differed from its commit"),
    "archscale_version": Column(meaning="ArchScale version"),
    "torch_version": Column(meaning="PyTorch version"),
    "started": Column(meaning="Start of the last attempt", unit="UTC"),
    "path": Column(meaning="Run directory"),
}

CURVE_COLUMNS: Mapping[str, Column] = {
    "run_id": COLUMNS["run_id"],
    "train_step": Column(meaning="Training step"),
    "tokens": COLUMNS["tokens"],
    "train_loss": COLUMNS["train_loss"],
    "validation_loss": COLUMNS["validation_loss"],
    "learning_rate": COLUMNS["learning_rate"],
    "gradient_norm": Column(meaning="Gradient norm"),
}

# Columns that are missing until a run has a result.
MEASURED = (
    "parameters",
    "non_embedding_parameters",
    "compute",
    "validation_loss",
    "train_loss",
    "unigram_entropy",
    "tokens_per_second",
    "train_seconds",
)

# What a law may be fitted to, and what may be compared. The base learning rate is known to the study, not to the run.
NUMERIC = (
    *MEASURED,
    "tokens",
    "depth",
    "width",
    "learning_rate",
    "base_learning_rate",
    "batch_tokens",
    "sequence_length",
    "window",
)
