"""Ranks of nodes by random walks over weighted graphs."""
