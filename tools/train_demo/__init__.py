"""Trains Hadal's demo model: corpus, tokenizer, training, export, evaluation (README.md)."""
