"""Rerun the tasks on which the models of the literature were proposed, under equal conditions.

    python -m experiments run TASK --preset quick
    python -m experiments report

The training loop, the tasks and the records are those of ``optode compare``.
"""
