"""`python -m tolerance` is `tolerance`."""

from tolerance.cli.app import main

if __name__ == "__main__":
    main()
