"""The optimizers of optax and optax.contrib, after its documentation; the package is not run.

Their rules are compared with the equations by the check that every derivation makes.
"""

from __future__ import annotations

from benchmarks.corpus.rows import Row

RULES_OF_OPTAX = {
    "adabelief": "adabelief_corrected",
    "adadelta": "adadelta",
    "adafactor": "adafactor",
    "adagrad": "sm3_plain",
    "adam": "adam_bias_corrected",
    "adamax": "adamax_corrected",
    "adamaxw": "adamaxw",
    "adamw": "adamw_corrected",
    "adan": "adan_corrected",
    "amsgrad": "amsgrad_hat",
    "fromage": "fromage",
    "lamb": "lamb_both",
    "lars": "lars_momentum",
    "lion": "lion",
    "lookahead": "lookahead",
    "nadam": "nadam_constant",
    "nadamw": "nadamw",
    "novograd": "novograd",
    "optimistic_adam": "optimistic_adam_corrected",
    "optimistic_gradient_descent": "optimistic_gradient",
    "polyak_sgd": "polyak_clipped",
    "radam": "radam",
    "rmsprop": "rmsprop_inside",
    "rprop": "rprop_stored",
    "sgd": "sgd",
    "sign_sgd": "sign_descent",
    "sm3": "sm3_vector",
    "yogi": "yogi_corrected",
    "contrib.ademamix": "ademamix_corrected",
    "contrib.adopt": "adopt_clipped",
    "contrib.cocob": "cocob",
    "contrib.dadapt_adamw": "dadapt_adam",
    "contrib.dog": "dog",
    "contrib.dowg": "dowg",
    "contrib.momo": "momo",
    "contrib.prodigy": "prodigy_corrected",
    "contrib.sam": "sam_small_radius",
    "contrib.schedule_free_adamw": "schedule_free_adamw",
    "contrib.schedule_free_sgd": "schedule_free_sgd",
    "contrib.simplified_ademamix": "ademamix_simplified",
}

REFUSED = {"contrib.cocob": "E401"}
"""Rules without a limit, and the code of the refusal. A bet moves by as much as it likes in the first steps."""

ROWS = tuple(
    Row("optax", name, spec, {}, refused=REFUSED.get(name, ""))
    for name, spec in RULES_OF_OPTAX.items()
)
