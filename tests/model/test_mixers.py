import pytest
import torch
from torch import Tensor

from archscale.compose import groups
from archscale.model.initialize import initialize
from archscale.model.lm import LanguageModel
from archscale.ops.causal_attention.reference import causal_attention_reference
from archscale.ops.segments import Segments
from archscale.registry import UserError
from tests.model.architectures import architecture, layer, packaged, sambay, small_model, small_run, transformer_pp

MIXED = ["attention", "window_attention", "mamba"]


def single(mixer: str, **fields) -> torch.nn.Module:
    return small_model(architecture(("rest", [layer(mixer)]), **fields)).blocks[0].mixer


def random_input(length: int, width: int = 16) -> Tensor:
    torch.manual_seed(length)
    return torch.randn(2, length, width, dtype=torch.float64)


@pytest.mark.parametrize("positions", ["rope", "none"])
@pytest.mark.parametrize("name", MIXED)
def test_a_changed_future_token_changes_nothing_before_it(name, positions):
    mixer, x = single(name, positions=positions), random_input(45)
    y = x.clone()
    y[:, 30:] += 1
    before, after = mixer(x, {}, None), mixer(y, {}, None)
    torch.testing.assert_close(before[:, :30], after[:, :30], rtol=0, atol=1e-12)
    assert not torch.allclose(before[:, 30:], after[:, 30:])


@pytest.mark.parametrize("positions", ["rope", "none"])
@pytest.mark.parametrize("name", MIXED)
def test_packed_documents_equal_separate_ones_forward_and_backward(name, positions):
    mixer, x = single(name, positions=positions), random_input(24)
    parts = [slice(0, 1), slice(1, 18), slice(18, 24)]
    weight = torch.randn_like(x)

    def with_gradients(y: Tensor) -> list[Tensor]:
        return [y, *torch.autograd.grad((y * weight).sum(), list(mixer.parameters()))]

    together = with_gradients(mixer(x, {}, Segments.of_lengths([[1, 17, 6]] * 2)))
    apart = with_gradients(torch.cat([mixer(x[:, part], {}, None) for part in parts], 1))
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_a_window_token_sees_itself_and_the_window_minus_one_before_it():
    mixer, x = single("window_attention", window=6), random_input(20)
    y = x.clone()
    y[:, 3] += 1
    changed = (mixer(x, {}, None) - mixer(y, {}, None)).abs().amax((0, 2)) > 0
    assert changed.nonzero().flatten().tolist() == [3, 4, 5, 6, 7, 8]


def test_attention_without_positions_equals_its_equation():
    mixer, x = single("attention", positions="none"), random_input(9)
    heads = (x @ mixer.query_key_value.weight.t()).unflatten(-1, (4, 8))
    o = causal_attention_reference(heads[:, :, :2], heads[:, :, 2:3], heads[:, :, 3:], window=None, document_BT=None)
    expected = o.flatten(2) @ mixer.output.weight.t()
    torch.testing.assert_close(mixer(x, {}, None), expected, rtol=1e-12, atol=1e-12)


def test_rotary_attention_is_blind_to_a_common_shift():
    mixer, x = single("window_attention", positions="rope", window=4), random_input(20)
    late = mixer(x, {}, None)[:, 13:]
    torch.testing.assert_close(mixer(x[:, 10:], {}, None)[:, 3:], late, rtol=1e-11, atol=1e-11)
    turned = single("attention", positions="rope")(x, {}, None)
    assert not torch.allclose(turned, single("attention", positions="none")(x, {}, None))


@pytest.mark.parametrize("positions", ["rope", "none"])
def test_cross_attention_with_the_writers_queries_equals_the_writer(positions):
    model = small_model(sambay(positions=positions))
    writer, reader, x, shared = model.blocks[5].mixer, model.blocks[7].mixer, random_input(13), {}
    assert sum(p.numel() for p in reader.parameters()) == 2 * 16 * 16
    with torch.no_grad():
        reader.query.weight.copy_(writer.query_key_value.weight[:16])
        reader.output.weight.copy_(writer.output.weight)
    expected = writer(x, shared, None)
    assert shared["kv"].shape == (2, 13, 2, 1, 8)
    torch.testing.assert_close(reader(x, shared, None), expected, rtol=1e-12, atol=1e-12)


def mamba_by_token(mixer: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Output and memory of one sequence (T, W) from the equations, one token and one channel at a time."""
    weights = {name: p.detach() for name, p in mixer.named_parameters()}
    u, z = x @ weights["input.weight"].t(), x @ weights["gate.weight"].t()
    memory = torch.zeros_like(u)
    h = torch.zeros(u.shape[1], 16, dtype=x.dtype)
    for t in range(len(x)):
        taps = [weights["conv_weight_DK"][:, 3 - k] * u[t - k] for k in range(4) if t >= k]
        c = torch.nn.functional.silu(weights["conv_bias_D"] + sum(taps))
        step, B, C = (weights["select.weight"] @ c).split([1, 16, 16])
        delta = torch.log1p(torch.exp(weights["delta.weight"] @ step + weights["step_bias_D"]))
        for d in range(u.shape[1]):
            h[d] = torch.exp(-delta[d] * weights["A_log_DN"][d].exp()) * h[d] + delta[d] * B * c[d]
        memory[t] = h @ C + weights["skip_D"] * c
    return (memory * z * torch.sigmoid(z)) @ weights["output.weight"].t(), memory


def test_mamba_and_the_memory_it_writes_equal_their_equations():
    mixer, x, shared = small_model(sambay()).blocks[4].mixer, random_input(7), {}
    with torch.no_grad():
        mixer.skip_D.uniform_(0.5, 2.0)
    output = mixer(x, shared, None)
    for row in range(2):
        expected, memory = mamba_by_token(mixer, x[row])
        torch.testing.assert_close(output[row], expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(shared["memory"][row], memory, rtol=1e-10, atol=1e-12)


def test_only_the_named_layer_writes_the_memory():
    shared: dict[str, Tensor] = {}
    small_model(sambay()).blocks[0].mixer(random_input(5), shared, None)
    assert not shared


@pytest.mark.parametrize("expand", [2, 3])
def test_gated_memory_unit_equals_its_equation_at_the_width_of_its_memory(expand):
    model, x = small_model(sambay(mixers={"mamba": {"expand": expand}})), random_input(5)
    gmu = model.blocks[6].mixer
    memory = torch.randn(2, 5, 16 * expand, dtype=torch.float64)
    gate = x @ gmu.gate.weight.t()
    expected = (memory * gate / (1 + torch.exp(-gate))) @ gmu.output.weight.t()
    torch.testing.assert_close(gmu(x, {"memory": memory}, None), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("arch", [transformer_pp(), sambay(), sambay(positions="rope")])
def test_auto_and_reference_backends_agree_with_gradients(arch):
    losses, gradients = [], []
    for backend in ("auto", "reference"):
        spec = small_run(arch, **{"execution.backend": backend})
        model = LanguageModel(spec)
        initialize(model, spec)
        model.double()
        tokens = torch.randint(0, 61, (2, 38), generator=torch.Generator().manual_seed(0))
        loss = model.loss(tokens[:, :-1], tokens[:, 1:], Segments.of_lengths([[20, 17], [37]]))
        losses.append(loss)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-12)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", groups()["arch"])
def test_a_bfloat16_model_trains_and_generates(name):
    model = small_model(packaged(name), **{"scale.num_heads": 4, "scale.num_kv_heads": 2}).bfloat16()
    tokens = torch.randint(0, 61, (2, 9), generator=torch.Generator().manual_seed(0))
    loss = model.loss(tokens[:, :-1], tokens[:, 1:])
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    cache, _ = model.prefill(tokens[:, :5])
    for position in range(5, 8):
        logits = model.step(tokens[:, position], cache)
    with torch.no_grad():
        expected = model(tokens[:, :8])[:, -1]
    torch.testing.assert_close(logits, expected, rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"mixers": {"gated_deltanet": {"norm": "before_gate"}}},
            r"arch\.mixers\.gated_deltanet has options, but no layer of arch sambay is one: give options to ",
        ),
        ({"mixers": {"cross_attention": {"head_dim": 4}}}, "head_dim = 4, but the layer that writes kv has 8"),
        (
            {"mixers": {"attention": {"positions": "rope", "rope_base": -1.0}}},
            r"rope_base = -1\.0: it must be positive",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        small_model(packaged("sambay", **fields))


def test_gated_deltanet_has_a_head_at_any_width():
    model = small_model(packaged("gdny"), **{"scale.width": 1})
    assert model.blocks[0].mixer.heads == 1


@pytest.mark.parametrize("name", ["sambay_2", "mambay_2", "gdny", "sgdny"])
def test_the_norm_may_stand_before_the_gate_with_a_plain_gated_memory_unit(name):
    """Table 9 of arXiv 2507.06607: another function with fewer gains, generated from as exactly."""
    mixer = "mamba2" if name.endswith("2") else "gated_deltanet"
    heads = {"scale.num_heads": 4, "scale.num_kv_heads": 2}
    after = small_model(packaged(name), **heads)
    before = small_model(packaged(name, mixers={mixer: {"norm": "before_gate"}, "gmu": {"normalized": False}}), **heads)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (after, before)]
    assert sizes[0] - sizes[1] == after.blocks[6].mixer.gain_M.numel()
    tokens = torch.randint(0, 61, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = before(tokens)
        assert not torch.allclose(expected, after(tokens))
    cache, logits = before.prefill(tokens[:, :8])
    for position in range(8, 12):
        torch.testing.assert_close(logits, expected[:, position - 1], rtol=1e-9, atol=1e-11)
        logits = before.step(tokens[:, position], cache)
