"""Long proofs: real instances under fire, each run by `python -m tests.proof.<name>`."""
