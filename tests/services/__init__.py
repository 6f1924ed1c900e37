"""Real servers for the contract suites: `python -m tests.services` builds, starts and stops them."""
