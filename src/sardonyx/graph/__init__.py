"""The model as data: values, nodes, the base of operators, text, checks and rewriting."""
