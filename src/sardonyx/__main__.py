"""`python -m sardonyx` is the command `sardonyx`."""

from sardonyx.cli.main import main

if __name__ == "__main__":
    main()
