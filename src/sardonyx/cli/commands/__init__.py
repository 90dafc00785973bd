"""The commands, one module each with a `command`; `cli.main` finds them by name."""
