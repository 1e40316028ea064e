"""What a random network does, beside each verdict."""
