"""Stage 0: read the text of a spec into its declarations, or report all of its errors."""
