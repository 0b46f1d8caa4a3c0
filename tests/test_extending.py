"""CONTRIBUTING's table "where to add things", one row a test: each thing is added as it says, and nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

from analysis.fit import fit
from analysis.laws import LAWS, Law, Parameter
from archscale.compose import ClusterConfig, groups, load_spec
from archscale.data.corpus import open_corpus
from archscale.data.sources import SOURCES, Document
from archscale.launch.executor import EXECUTORS
from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel
from archscale.parametrizations import PARAMETRIZATIONS, Init, Multipliers, Rule
from archscale.paths import USER_CONF
from archscale.registry import UserError
from archscale.study import expand, load_study

TINY = ["scale.tokens=65536", "scale.tokens_per_param=null"]


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """The user's own configuration folder."""
    monkeypatch.setenv(USER_CONF, str(tmp_path))

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    return write


@pytest.fixture
def forget():
    """Takes what a test registered out again."""
    registries = [LAWS, PARAMETRIZATIONS, SOURCES, EXECUTORS]
    before = [set(registry) for registry in registries]
    yield
    for registry, names in zip(registries, before, strict=True):
        for name in set(registry) - names:
            del registry._items[name]


def test_an_architecture_is_one_yaml(conf):
    conf("arch/mine.yaml", "name: mine\npositions: rope\nstack: [{span: rest, tile: [window_attention, attention]}]\n")
    assert "mine" in groups()["arch"]
    spec = load_spec(["arch=mine", *TINY])
    model = LanguageModel(spec)
    initialize(model, spec)
    assert [layer.mixer for layer in model.layers] == ["window_attention", "attention"] * 4
    assert torch.isfinite(model(torch.zeros(1, 8, dtype=torch.long))).all()


def test_a_file_with_a_packaged_name_is_refused_rather_than_passed_over(conf):
    conf("arch/sambay.yaml", "name: sambay\nstack: [{span: rest, tile: [attention]}]\n")
    with pytest.raises(UserError, match=r"arch/sambay\.yaml in --conf has the name of a packaged choice"):
        load_spec(["arch=sambay"])


def test_a_scale_a_data_set_and_an_optimizer_are_one_yaml_each(conf):
    conf("optim/hot.yaml", "warmup_fraction: 0.5\nweight_decay: 0.0\n")
    spec = load_spec(["optim=hot", *TINY])
    assert spec.optim.warmup_steps == spec.optim.steps / 2
    assert spec.optim.weight_decay == 0.0


def test_a_parametrization_is_one_class_and_a_yaml(conf, forget):
    @PARAMETRIZATIONS.register("plain")
    class Plain:
        def __init__(self, spec):
            pass

        def rule(self, role, at, base):
            init = Init(distribution="own" if role == "vector" else "normal", value=0.5)
            return Rule(init=init, learning_rate_multiplier=1.0, weight_decay=True)

        def multipliers(self, at, base):
            return Multipliers(residual=1.0, logits=1.0)

        def learning_rate(self, base_rate, *, at, base, batch_ratio, token_ratio):
            return base_rate

        def weight_decay(self, base_decay, *, base_rate, rate):
            return base_decay

    conf("parametrization/plain.yaml", "name: plain\n")
    spec = load_spec(["parametrization=plain", "scale.depth=16", "scale.base.learning_rate=0.5", *TINY])
    assert spec.optim.learning_rate == 0.5
    model = LanguageModel(spec)
    initialize(model, spec)
    assert model.embedding.weight.std().item() == pytest.approx(0.5, rel=0.05)


def test_a_law_is_one_object(forget):
    LAWS.add(
        "two_powers",
        Law(
            name="two_powers",
            equation="A·x^-b + B·x^-2b",
            nonlinear=(Parameter("b", low=1e-3, high=3.0),),
            linear=(Parameter("A", low=0.0), Parameter("B", low=0.0)),
            design=lambda x, b: np.column_stack([x**-b, x ** (-2 * b)]),
        ),
    )
    x = 2.0 ** np.arange(10)
    found = fit("two_powers", x, 5 * x**-0.4 + 2 * x**-0.8).parameters
    assert found == pytest.approx({"A": 5.0, "B": 2.0, "b": 0.4}, rel=1e-4)


def test_a_data_source_is_one_function_and_a_yaml(conf, forget, tmp_path):
    @SOURCES.register("counting")
    def counting(path):
        for number in range(40):
            yield Document(name=str(number), content=f"{number} {number + 1} ".encode() * 50)

    conf("data/counting.yaml", "source: counting\nsequence_length: 32\nvalidation_tokens: 64\n")
    spec = load_spec(["data=counting", "arch.window=16", *TINY])
    assert len(open_corpus(spec.data, tmp_path).train) > 1000


def test_a_cluster_is_one_executor_and_a_yaml(conf, forget):
    class Nowhere:
        def __init__(self, cluster: ClusterConfig) -> None:
            self.cluster = cluster

    EXECUTORS.add("nowhere", Nowhere)
    conf("cluster/nowhere.yaml", "name: nowhere\n")
    assert "nowhere" in groups()["cluster"]
    assert isinstance(EXECUTORS["nowhere"](ClusterConfig(name="nowhere")), Nowhere)


def test_a_study_is_one_yaml(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"overrides: {TINY}\nproduct: {{seed: [0, 1]}}\n")
    assert len(expand(load_study(str(path)))) == 2


def test_every_parameter_of_a_model_has_a_role():
    for name, parameter in LanguageModel(load_spec(["arch=sambay", *TINY])).named_parameters():
        assert isinstance(parameter, nn.Parameter)
        assert parameter.role in ("embedding", "unembedding", "hidden", "vector"), name
