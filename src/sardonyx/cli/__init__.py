"""The command line: arguments in, text or JSON out; one file per command in `commands`."""
