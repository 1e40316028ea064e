"""Stage 0: the author's text, read into what it declares or into all of its errors."""
