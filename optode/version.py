"""The version of optode, the one place where it is written; headers of generated modules carry it."""

__version__ = "0.2.0"
