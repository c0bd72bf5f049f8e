"""Text written by a teacher: SmolLM2-135M-Instruct (Apache-2.0), read from a GGUF file."""
