"""RunSpec: everything that decides the result of one run, resolved, frozen and validated once.

    conf/*.yaml ── compose (Hydra) ──▶ RunConfig ── resolve ──▶ RunSpec ── spec.json ──▶ the job

A RunSpec holds numbers, not rules: width and steps, not "what depth 12 implies", so that a job needs its `spec.json`
and nothing else. Fields marked `identity: False` (paths, resources, logging) never enter the run's hash: see
identity.py. Every field with a default is left out of the hash while it has that default.
"""

from archscale.spec.accounting import FlopsAccounting
from archscale.spec.architecture import ArchSpec, LayerSpec, SpanSpec
from archscale.spec.base import NOT_IDENTITY, STRICT, Scalar, check_name
from archscale.spec.parsing import fields_of, from_fields, from_json, from_mapping, to_json
from archscale.spec.run import (
    AdamWChoice,
    DataChoice,
    DataSpec,
    ExecutionSpec,
    OptimSpec,
    ParametrizationSpec,
    RunSpec,
    ScaleSpec,
    WandbSpec,
    check_depth,
)
from archscale.spec.study import Budget, EvaluateSettings, FitSettings, TransferSettings

__all__ = [
    "NOT_IDENTITY",
    "STRICT",
    "AdamWChoice",
    "ArchSpec",
    "Budget",
    "DataChoice",
    "DataSpec",
    "EvaluateSettings",
    "ExecutionSpec",
    "FitSettings",
    "FlopsAccounting",
    "LayerSpec",
    "OptimSpec",
    "ParametrizationSpec",
    "RunSpec",
    "Scalar",
    "ScaleSpec",
    "SpanSpec",
    "TransferSettings",
    "WandbSpec",
    "check_depth",
    "check_name",
    "fields_of",
    "from_fields",
    "from_json",
    "from_mapping",
    "to_json",
]
