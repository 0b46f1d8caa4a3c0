"""Training FLOPs under a named accounting, which travels with every number; see spec/accounting.py for the five.

    6nd_non_embedding   6 N              a training token; N the parameters of the real modules, of any dtype and role
    6nd_total           6 N_total
    6nd_attention       6 N_total + 3 A  A the forward products of attention a token: 4 · H · K · positions seen
    modules             3 F              F the forward FLOPs a token of survey.py
    transformer_axis    axis_flops / planned tokens, fixed with the run: this file cannot know the rung's Transformer++

6 and 3: a backward pass takes twice the products of its forward pass, once for the inputs and once for the weights.
Kaplan et al. 2020 (arXiv 2001.08361), section 2.1; A as in Chowdhery et al. 2022 (arXiv 2204.02311), Appendix B, which
does not leave out hidden positions.
"""

from archscale.registry import UserError
from archscale.scaling.count import count_parameters
from archscale.scaling.survey import survey
from archscale.spec import ArchSpec, FlopsAccounting, RunSpec, ScaleSpec


def training_flops(spec: RunSpec, tokens: int, accounting: FlopsAccounting | None = None) -> float:
    """Of `tokens` training tokens of a run, under `accounting` or else the run's own.

    Raises:
        UserError: for the axis of Transformer++ in a run that was planned without it.
    """
    accounting = accounting or spec.flops_accounting
    if accounting is FlopsAccounting.TRANSFORMER_AXIS:
        if spec.axis_flops is None:
            raise UserError(
                f"{spec.arch.name}: flops_accounting = {accounting} needs the FLOPs of Transformer++ at this rung, and "
                f"the run has none: plan it with flops_accounting={accounting}"
            )
        return spec.axis_flops * tokens / spec.tokens
    return tokens * flops_per_token(accounting, spec.arch, spec.scale, spec.data.vocab_size, spec.data.sequence_length)


def flops_per_token(
    accounting: FlopsAccounting, arch: ArchSpec, scale: ScaleSpec, vocab_size: int, sequence_length: int
) -> float:
    """Training FLOPs of one token of a model.

    Raises:
        ValueError: for transformer_axis, which is no property of a model.
    """
    match accounting:
        case FlopsAccounting.SIX_ND_NON_EMBEDDING:
            return six_nd(count_parameters(arch, scale, vocab_size).non_embedding, 1)
        case FlopsAccounting.SIX_ND_TOTAL:
            return six_nd(count_parameters(arch, scale, vocab_size).total, 1)
        case FlopsAccounting.SIX_ND_ATTENTION:
            found = survey(arch, scale, vocab_size, sequence_length)
            return six_nd(found.parameters.total, 1) + 3 * found.attention
        case FlopsAccounting.MODULES:
            return 3 * survey(arch, scale, vocab_size, sequence_length).forward.total
        case FlopsAccounting.TRANSFORMER_AXIS:
            raise ValueError("transformer_axis counts another model than this one: see training_flops")


def six_nd(parameters: float, tokens: float) -> float:
    return 6.0 * parameters * tokens
