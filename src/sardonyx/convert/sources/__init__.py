"""One file for each framework that can be converted; `convert.source` says how to write one."""
