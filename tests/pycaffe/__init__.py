"""pycaffe's public names, one file for each of its modules or classes."""
