"""What `archscale bench` measures: ratios between things timed in turn, in one process."""
