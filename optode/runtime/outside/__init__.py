"""Hand a solve to torchdiffeq or torchode: the only modules that import the two."""
