"""One run: optimizer, schedule, loop, evaluation, checkpoints."""
