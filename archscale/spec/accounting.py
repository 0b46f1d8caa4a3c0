"""How training FLOPs are counted; every number of FLOPs travels with the name of its accounting.

6nd_non_embedding   6 · N · T, N without embedding and head             Kaplan et al. 2020 (arXiv 2001.08361), 2.1
6nd_total           6 · N · T, N with them, tied ones once
6nd_attention       6nd_total + 3 × the products of attention: scores and weighted values, causal and windowed
modules             3 × what the modules multiply and add in one forward pass, head included
transformer_axis    6 · N · T with N and T of Transformer++ at the same rung, whatever the architecture: the x-axis
                    of arXiv 2507.06607, Figure 2
"""

from enum import StrEnum


class FlopsAccounting(StrEnum):
    SIX_ND_NON_EMBEDDING = "6nd_non_embedding"
    SIX_ND_TOTAL = "6nd_total"
    SIX_ND_ATTENTION = "6nd_attention"
    MODULES = "modules"
    TRANSFORMER_AXIS = "transformer_axis"
