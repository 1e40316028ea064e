"""Go from one time to another in steps: of equal size, or as long as the tolerances allow."""
