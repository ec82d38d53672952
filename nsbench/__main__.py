"""`python -m nsbench`, so that torchrun can start it."""

from nsbench.cli import main

main()
