"""Answers of a model, and how many drafts of its MTP module hold."""
