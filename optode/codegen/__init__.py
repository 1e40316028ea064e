"""The results as PyTorch: the text of a module, and how it reaches a file or memory."""
