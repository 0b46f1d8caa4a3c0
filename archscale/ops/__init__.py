"""Numerical operators: in each folder `reference.py` is the definition, beside it the fast forms, dispatch on top.

`backend` is "auto" (the fastest form for the device and the shapes), "torch" (the fastest one in plain torch, the same
on every machine with one torch) or "reference" (the definition, on any device). C++ forms are built in native/.
"""
