"""The laws that can be fitted, one file a family; `LAWS` holds them by name."""

from analysis.laws import constrained, joint, power
from analysis.laws.law import LAWS, Law, LawRegistry, Parameter

__all__ = ["LAWS", "Law", "LawRegistry", "Parameter", "constrained", "joint", "power"]
