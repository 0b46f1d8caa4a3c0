"""μP++: μP with depth scaling and no weight decay on vector-like parameters.

    hidden      U(±1/√fan_in)   lr × w0/w   weight decay on    residual branch × 1/√(2d)
    embedding   N(0, σ²)        lr × 1      no decay
    unembedding 0, or tied      lr × 1      no decay           logits × w0/w
    vector      own             lr × 1      no decay
    global      η = η0 · √(B·d0 / (B0·d))

Ren et al. 2025 (arXiv 2507.06607), Table 6 and section 3.1. σ = 0.02 with tied embeddings, 1e-4 without.
"""

from archscale.parametrizations.base import PARAMETRIZATIONS, Role
from archscale.parametrizations.rules import Rules
from archscale.spec import ParametrizationSpec


@PARAMETRIZATIONS.register("mup_pp")
def mup_plus_plus(spec: ParametrizationSpec) -> Rules:
    matrices = frozenset[Role]({"hidden"})
    return Rules(
        spec=spec, over_width=True, over_depth=True, uniform_hidden=True, small_outputs=False, decayed=matrices
    )
