"""Language models: a stack of layers given as data, built from mixers found by name."""
