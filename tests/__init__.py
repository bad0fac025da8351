"""A package, so that `from tests.oracles import ...` finds this folder and no other `tests`."""
