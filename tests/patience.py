"""How long a test waits for what comes at once where nothing else runs."""

PATIENCE_S = 100.0
"""Nothing is measured by it: the machine may be busy with others, and processes have to begin."""
