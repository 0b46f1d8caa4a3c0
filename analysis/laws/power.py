"""Power laws of one input.

power          L = A·x^-b          Kaplan et al. 2020 (arXiv 2001.08361), equation 1.1
power_offset   L = A·x^-b + C      Henighan et al. 2020 (arXiv 2010.14701), equation 1.1; C is the irreducible loss
"""

import numpy as np

from analysis.laws.law import LAWS, Law, Parameter

# b up to 3: doubling x would divide the reducible loss by 8; a fit that wants more is not following a power law.
_AMPLITUDE = Parameter("A", low=0.0, meaning="amplitude")
_EXPONENT = Parameter("b", low=0.0, high=3.0, meaning="exponent")
_OFFSET = Parameter("C", low=0.0, unit="y", meaning="irreducible loss")

LAWS.register(
    Law(
        name="power",
        equation="A·x^-b",
        nonlinear=(_EXPONENT,),
        linear=(_AMPLITUDE,),
        design=lambda x, b: (x**-b)[:, None],
    )
)
LAWS.register(
    Law(
        name="power_offset",
        equation="A·x^-b + C",
        nonlinear=(_EXPONENT,),
        linear=(_AMPLITUDE, _OFFSET),
        design=lambda x, b: np.column_stack([x**-b, np.ones_like(x)]),
    )
)
