"""From specs to processes: claims, state, executors, the orchestrator."""
