"""Programs for working on this project; none of them is installed."""
