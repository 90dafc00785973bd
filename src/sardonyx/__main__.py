"""The command `sardonyx`, which `python -m sardonyx` is too."""

from sardonyx.cli.interrupts import leave_at_once


def main() -> None:
    """Imports the command line and runs it; an interrupt meanwhile ends it with 130."""
    leave_at_once()
    from sardonyx.cli.main import main as run  # noqa: PLC0415 - an import may be interrupted

    run()


if __name__ == "__main__":
    main()
