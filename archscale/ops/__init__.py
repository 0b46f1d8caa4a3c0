"""Numerical operators: in each folder `reference.py` is the definition, beside it the fast forms, dispatch on top.

`backend` is "auto" (the fastest form for the device and the shapes) or "reference" (the definition, on any device).
"""
