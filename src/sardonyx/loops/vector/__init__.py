"""Loops and folds in lanes: the rewrite of a scheduled kernel that decides how vectors are used."""
