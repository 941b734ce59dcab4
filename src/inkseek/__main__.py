"""`python -m inkseek` is the command `inkseek`."""

from inkseek.cli.main import main

main()
