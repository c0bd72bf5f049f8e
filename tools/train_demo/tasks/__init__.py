"""Generators of chat examples with answers that a program can check."""
