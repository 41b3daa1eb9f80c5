"""`python -m editbench`: the command `editbench`."""

from editbench.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
