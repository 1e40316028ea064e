"""Write what follows from a spec as one page of HTML."""
