"""The other libraries, one file each; each is imported in a process of its own."""
