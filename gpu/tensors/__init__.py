"""n-dimensional arrays larger than memory, cut into tiles."""
