"""Cross-entropy with label smoothing, the definition.

    loss = mean over tokens of −(1 − ε) log p_target − ε mean_v log p_v        log p = z − log Σ_v exp z_v

Szegedy et al. 2016 (arXiv 1512.00567), section 7, with the uniform distribution over the vocabulary.

Shapes: B batch, T positions, V vocabulary.
"""

from torch import Tensor


def cross_entropy_reference(logits_BTV: Tensor, targets_BT: Tensor, *, label_smoothing: float) -> Tensor:
    log_p_BTV = logits_BTV - logits_BTV.logsumexp(-1, keepdim=True)
    target_BT = log_p_BTV.gather(-1, targets_BT[..., None])[..., 0]
    return -((1 - label_smoothing) * target_BT + label_smoothing * log_p_BTV.mean(-1)).mean()
