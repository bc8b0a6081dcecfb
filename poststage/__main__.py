"""`python -m poststage`: the command `poststage` where its script is not in PATH."""

from poststage.cli.main import main

if __name__ == "__main__":
    main()
