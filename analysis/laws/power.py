"""Power laws of one input, falling towards a limit or growing without one.

power          L = A·x^-b          Kaplan et al. 2020 (arXiv 2001.08361), equation 1.1
power_offset   L = A·x^-b + C      Henighan et al. 2020 (arXiv 2010.14701), equation 1.1; C is the irreducible loss
growth         y = A·x^a           of an optimum: N*(C), D*(C) of Hoffmann et al. 2022 (arXiv 2203.15556), section 3,
                                   or a learning rate and a batch size that move with scale
"""

import numpy as np

from analysis.laws.law import LAWS, Law, Parameter

# b up to 3: doubling x would divide the reducible loss by 8; a fit that wants more is not following a power law.
AMPLITUDE = Parameter("A", low=0.0, meaning="amplitude")
EXPONENT = Parameter("b", low=0.0, high=3.0, meaning="exponent")
OFFSET = Parameter("C", low=0.0, unit="y", meaning="irreducible loss")

LAWS.register(
    Law(
        name="power",
        equation="A·x^-b",
        nonlinear=(EXPONENT,),
        linear=(AMPLITUDE,),
        design=lambda x, b: (x**-b)[:, None],
        source="Kaplan et al. 2020, arXiv 2001.08361, eq. 1.1",
    )
)
LAWS.register(
    Law(
        name="power_offset",
        equation="A·x^-b + C",
        nonlinear=(EXPONENT,),
        linear=(AMPLITUDE, OFFSET),
        design=lambda x, b: np.column_stack([x**-b, np.ones_like(x)]),
        source="Henighan et al. 2020, arXiv 2010.14701, eq. 1.1",
    )
)
LAWS.register(
    Law(
        name="growth",
        equation="A·x^a",
        nonlinear=(Parameter("a", low=-3.0, high=3.0, meaning="exponent"),),
        linear=(AMPLITUDE,),
        design=lambda x, a: (x**a)[:, None],
        source="Hoffmann et al. 2022, arXiv 2203.15556, section 3",
    )
)
