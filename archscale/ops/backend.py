"""The choice between the definition of an operator and its fastest form."""

from typing import Literal

Backend = Literal["auto", "reference"]
