"""Compare all methods on all shipped models by the evaluations of f that an error of h costs.

python -m benchmarks.methods --help
"""
