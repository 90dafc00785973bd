"""The vocabulary that every room shares; imports nothing of ours."""
