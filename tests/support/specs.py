"""A small valid RunSpec, and variations of it."""

from typing import Any

from archscale.spec import (
    ArchSpec,
    DataSpec,
    ExecutionSpec,
    LayerSpec,
    OptimSpec,
    ParametrizationSpec,
    RunSpec,
    ScaleSpec,
    SpanSpec,
    WandbSpec,
    from_mapping,
    to_json,
)


def small_spec(**changes: Any) -> RunSpec:
    """Depth 8, width 16, two heads of 8. A change names a dotted field: `**{"scale.width": 20}`."""
    values = to_json(
        RunSpec(
            arch=ArchSpec(
                name="transformer_pp",
                stack=(SpanSpec(span="rest", tile=(LayerSpec(mixer="attention"),)),),
                positions="rope",
                window=16,
            ),
            scale=ScaleSpec(depth=8, width=16, head_dim=8, num_heads=2, num_kv_heads=1, base_depth=8, base_width=16.0),
            parametrization=ParametrizationSpec(name="mup_pp"),
            data=DataSpec(
                source="text_files",
                content_hash="0123456789abcdef",
                vocab_size=256,
                sequence_length=32,
                validation_tokens=256,
            ),
            optim=OptimSpec(learning_rate=1e-2, batch_tokens=128, steps=10, warmup_steps=1),
            execution=ExecutionSpec(device="cpu", log_steps=1, evaluations=2),
            wandb=WandbSpec(mode="disabled"),
        )
    )
    for key, value in changes.items():
        *path, last = key.split(".")
        here = values
        for part in path:
            here = here[part]
        here[last] = value
    return from_mapping(RunSpec, values, where="test")
