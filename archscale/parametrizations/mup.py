"""μP: learning rates transfer over width, not over depth.

    hidden      U(±1/√fan_in)   lr × w0/w   weight decay on
    embedding   N(0, σ²)        lr × 1      weight decay on
    unembedding 0, or tied      lr × 1      weight decay on   logits × w0/w
    vector      own             lr × 1      weight decay on
    global      η = η0 · √(B/B0)

Yang et al. 2022 (arXiv 2203.03466), Table 8, for Adam; in the form of Ren et al. 2025 (arXiv 2507.06607), Table 6.
Scores of attention stay q·k/√K as there; `attention_exponent: 1` makes them q·k·√K0/K.
"""

from archscale.parametrizations.base import PARAMETRIZATIONS
from archscale.parametrizations.rules import ALL_ROLES, Rules
from archscale.spec import ParametrizationSpec


@PARAMETRIZATIONS.register("mup")
def maximal_update(spec: ParametrizationSpec) -> Rules:
    return Rules(
        spec=spec, over_width=True, over_depth=False, uniform_hidden=True, small_outputs=False, decayed=ALL_ROLES
    )
