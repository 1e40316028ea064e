"""Measure a training with grid="auto": whether h is accurate throughout, and whether it is fastest.

    python -m benchmarks.training_grid [--quick] [--help]

The task is a regression whose target the network reaches only with larger weights: one solver step
is enough at first, and several are needed in the end. The contenders are grid="auto", the adaptive
solve, both with method="auto", adaptive dopri5, and interpolations in equal steps. All train with
Adam from equal weights. They take their training steps in turns, so that noise is shared. Seconds
are the sum over all training steps: gradients to zero, forward, loss, backward, optimizer's step.

The error of h is taken at the first, every 25th and the last training step, outside of the timed
part. The reference is h at equal weights in double precision: the equations by hand, torchdiffeq's
dopri8 with rtol = atol = 1e-10. The error of an entry is

    (h - h_exact) / (atol + rtol |h_exact|),    rtol = atol = --tolerance.

The error of h is the root mean square of these over all entries of the batch, which is the modules'
norm of a state. It is within the tolerance where it is at most 1. The largest entry is reported
beside it. A contender is accurate throughout if it is within the tolerance at every sample, each on
the weights that it trained itself.

The methods hold another error to the tolerance: what one step adds, by its estimate, in h and in m,
over atol + rtol times the larger of both ends of the step. Such errors add up, the equations let
them grow or shrink, and the estimate is of the lower order of a pair. So neither grid="auto" nor an
adaptive solve promises an h within the tolerance; this program measures whether it is.

The claim, for each gradient: grid="auto" is accurate throughout, and takes less time than both
adaptive solves, accurate or not, and than every fixed grid that is accurate throughout. Which fixed
grids these are is known only after the training. The claim is undecided where a ratio of times is
within two standard errors of 1; the standard error comes from the spread over parts of the run.
"""
