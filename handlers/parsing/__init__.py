"""Readers of untrusted files; they run only in the child process of `handlers.sandbox`."""
