"""SP, the standard parametrization: the same learning rate and initial deviation at every width and depth.

    hidden      N(0, τ²), output projections N(0, τ²/(2d))    lr × 1    weight decay on
    embedding   N(0, σ²)                                      lr × 1    weight decay on
    unembedding 0, or tied                                    lr × 1    weight decay on
    vector      own                                           lr × 1    weight decay on
    global      η = η0 · √(B/B0)

Ren et al. 2025 (arXiv 2507.06607), Table 6; τ = 0.02. The smaller output projections (Radford et al. 2019, section 2.3)
are those of its public code.
"""

from archscale.parametrizations.base import PARAMETRIZATIONS
from archscale.parametrizations.rules import ALL_ROLES, Rules
from archscale.spec import ParametrizationSpec


@PARAMETRIZATIONS.register("sp")
def standard(spec: ParametrizationSpec) -> Rules:
    return Rules(
        spec=spec, over_width=False, over_depth=False, uniform_hidden=False, small_outputs=True, decayed=ALL_ROLES
    )
