"""`python -m archscale`: the command line without the console script."""

from archscale.cli import main

main()
