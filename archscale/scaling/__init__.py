"""Depth to width, parameters, tokens, batch, learning rate and FLOPs."""
