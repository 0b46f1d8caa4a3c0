"""What `archscale check` proves of a configuration before it is trained."""
