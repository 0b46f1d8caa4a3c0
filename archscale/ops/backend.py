"""The choice between the definition of an operator and its faster forms.

auto         the fastest form for the device and the shapes
torch        the fastest form in plain torch: nothing compiled for this machine
reference    the definition
"""

from typing import Literal

Backend = Literal["auto", "torch", "reference"]
