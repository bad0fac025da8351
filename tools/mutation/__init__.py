"""Mutation testing: `__main__` runs it, `operators` makes the mutants."""
