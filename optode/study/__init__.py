"""Train neural ODEs of several rules under equal conditions, and compare them.

A task has the data and the network around an ODE. A run trains one rule on it from one seed, with
the one training loop of the project, and leaves a record. Tables and pictures are made of records.
"""
