"""Run a rule with numbers, beside the solutions of its limit."""
