"""The results as people and programs read them: plain text, LaTeX, Markdown, JSON."""
