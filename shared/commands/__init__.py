"""The commands that tox runs."""
