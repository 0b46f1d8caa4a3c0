"""The run directory contract, its writers and its readers; the only package that imports wandb."""
