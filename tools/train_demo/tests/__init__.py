"""Run by pytest; needs requirements.txt."""
