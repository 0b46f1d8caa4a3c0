import dataclasses
import json

import pytest

from archscale.registry import UserError
from archscale.spec import RunSpec, from_json, to_json
from tests.support.specs import small_spec


def test_a_spec_survives_json_unchanged():
    spec = small_spec()
    assert from_json(RunSpec, json.dumps(to_json(spec)), where="test") == spec


def test_a_spec_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        small_spec().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sed": 1}, ["unknown key 'sed'", "Did you mean 'seed'", "scale"]),
        ({"arch.windw": 4}, ["unknown key 'arch.windw'", "Did you mean 'window'"]),
        ({"seed": "1"}, ['seed = "1"', "integer"]),
        ({"seed": True}, ["seed = true", "integer"]),
        ({"seed": 1.5}, ["seed = 1.5"]),
        ({"precision": "fp8"}, ['precision = "fp8"', "float32", "bfloat16"]),
        ({"optim.learning_rate": float("inf")}, ["optim.learning_rate"]),
        ({"optim.learning_rate": -1.0}, ["optim.learning_rate = -1.0", "positive"]),
        ({"scale.depth": 10}, ["scale.depth = 10", "divisible by 4", "8, 12, 16"]),
        ({"scale.depth": 4}, ["scale.depth = 4", "at least 8", "cross-decoder"]),
        ({"scale.num_heads": 3, "scale.num_kv_heads": 2}, ["num_heads = 3", "num_kv_heads = 2", "[1, 3]"]),
        ({"optim.batch_tokens": 100}, ["batch_tokens = 100", "sequence_length = 32", "96"]),
        ({"arch.window": 33}, ["arch.window = 33", "at most 32"]),
        ({"data.validation_tokens": 16}, ["validation_tokens = 16", "32"]),
        ({"arch.stack": [{"span": 2, "tile": []}]}, ["tile is empty"]),
        ({"arch.stack": [{"span": "all", "tile": [{"mixer": "attention"}]}]}, ["span", "all", "half", "rest"]),
        ({"execution.threads": 0}, ["execution.threads = 0"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused_in_one_line_that_helps(change, words):
    with pytest.raises(UserError) as error:
        small_spec(**change)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_field_is_named():
    values = to_json(small_spec())
    del values["scale"]["width"]
    with pytest.raises(UserError, match=r"scale\.width is missing"):
        from_json(RunSpec, json.dumps(values), where="spec.json")


def test_tokens_are_whole_batches():
    spec = small_spec()
    assert spec.tokens == 1280
    assert spec.batch_sequences == 4
