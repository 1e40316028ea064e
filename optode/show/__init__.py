"""Write the results of the stages as plain text, LaTeX, Markdown and JSON."""
