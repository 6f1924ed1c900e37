"""Which device there is, how much of its memory is free and who may take it."""
