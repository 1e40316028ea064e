"""How fast a rule approaches its limit: observed, and predicted from the equations."""
