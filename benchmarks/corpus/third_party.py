"""The classes of pytorch_optimizer whose rules are compared.

Options that are left out have the package's defaults, among them no weight decay. ``foreach: False``
stands where the code for many tensors keeps numbers in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.corpus.rows import MATRIX_START, POSITIVE_START, Row
from benchmarks.corpus.torch_optim import ADAM, BETAS, DECAYED

LR = {"lr": "lr"}
FIRST = "the first steps move the position without bound as the step size goes to zero"
SINGLE: dict[str, Any] = {
    "tolerance": 1e-7,
    "remark": "the class keeps a norm or a weight in float32",
}
BETAS3 = (*BETAS, "beta3")
PROJECTED = {"delta": 100.0, "wd_ratio": "ratio", "weight_decay": "decay", "eps": "eps"}


def row(optimizer: str, spec: str, options: Mapping[str, Any], **values: float) -> Row:
    return Row("pytorch_optimizer", optimizer, spec, options, values)


def special(
    optimizer: str, spec: str, options: Mapping[str, Any], values: Mapping[str, float], **more: Any
) -> Row:
    return Row("pytorch_optimizer", optimizer, spec, options, values, **more)


ADAPTIVE = (
    special("ADOPT", "adopt", {**ADAM, "clip_lambda": None}, {}, skipped=1),
    special("ADOPT", "adopt_clipped", ADAM, {}, skipped=1),
    row("AdEMAMix", "ademamix_corrected", {**ADAM, "betas": BETAS3, "alpha": "alpha"}),
    row("AdaBelief", "adabelief_corrected", ADAM),
    row("AdaBound", "adabound_corrected", {**ADAM, "gamma": "gamma", "final_lr": "final"}),
    row("AdaDelta", "adadelta", {"lr": "lr", "rho": "rho", "eps": "eps"}),
    row(
        "AdaFactor",
        "adafactor_capped",
        {
            "lr": "lr",
            "betas": (None, "cap"),
            "eps1": "eps1",
            "eps2": "eps2",
            "clip_threshold": "d",
            "relative_step": False,
        },
    ),
    row(
        "AdaGC",
        "adagc",
        {
            **ADAM,
            "beta": "beta",
            "lambda_abs": 1e6,
            "lambda_rel": "lam",
            "warmup_steps": 0,
            "weight_decay": 0.0,
        },
        lam=1.05,
    ),
    row("AdaMax", "adamax_corrected", DECAYED),
    row("AdaMod", "adamod_corrected", {**ADAM, "betas": BETAS3}),
    row("AdaNorm", "adanorm_corrected", {**ADAM, "r": "r"}),
    row("AdaPNM", "adapnm", {**ADAM, "betas": (*BETAS, "beta0"), "ams_bound": False}),
    special("AdaShift", "adashift", {**ADAM, "keep_num": 2}, {}, skipped=2),
    row("AdaSmooth", "adasmooth", ADAM, beta1=0.2, beta2=0.5),
    row("AdaTAM", "adatam", {**ADAM, "decay_rate": "decay"}),
    row("Adai", "adai_corrected", {"lr": "lr", "betas": ("beta0", "beta2"), "eps": "eps"}),
    row(
        "Adalite",
        "adalite",
        {"lr": "lr", "betas": BETAS, "weight_decay": "decay", "ratio_min": "least", "eps1": "eps1"},
        least=0.01,
    ),
    row("AdamC", "adamc_unscheduled", DECAYED),
    row("AdamG", "adamg_corrected", {**ADAM, "betas": BETAS3, "p": "p", "q": "q"}),
    special("AdamP", "adamp_corrected", {**ADAM, **PROJECTED}, {}, shape=(1, 2)),
    row("AdamS", "adams_stable", DECAYED),
    special("AdamWSN", "adam_subset_norm", {**DECAYED, "subset_size": 2}, {}, group={"sn": True}),
    row("Adan", "adan_corrected", {**DECAYED, "betas": BETAS3}),
    row("Aida", "aida", ADAM),
    row("Ano", "ano_corrected", ADAM),
    special("AvaGrad", "avagrad_corrected", ADAM, {}, skipped=1),
    row("BCOS", "bcos", {"lr": "lr", "beta": "beta", "eps": "eps", "weight_decay": 0.0}),
    row(
        "CAME",
        "came",
        {"lr": "lr", "betas": (*BETAS, 0.9), "clip_threshold": "d", "eps1": "eps1"},
    ),
    row("DiffGrad", "diffgrad_corrected", ADAM),
    row("DualAdam", "dual_adam", {**ADAM, "switch_rate": "rate"}),
    special("EXAdam", "exadam", ADAM, {}, refused="E40", remark=FIRST),
    row(
        "FAdam",
        "fadam_corrected",
        {
            **DECAYED,
            "clip": "c",
            "eps_2": "eps2",
            "momentum_dtype": torch.float64,
            "fim_dtype": torch.float64,
        },
    ),
    row("Grams", "grams_corrected", ADAM),
    row(
        "GrokFastAdamW",
        "grokfast_adam",
        {**ADAM, "grokfast_alpha": "alpha", "grokfast_lamb": "lamb", "normalize_lr": False},
    ),
    row("LaProp", "laprop_corrected", {**ADAM, "foreach": False}),
    special(
        "Lamb",
        "lamb_corrected",
        {**DECAYED, "weight_decouple": False},
        {},
        refused="E40",
        remark=FIRST,
    ),
    row(
        "Lamb",
        "lamb_uncorrected",
        {**DECAYED, "weight_decouple": False, "adam_debias": True},
    ),
    row("MARS", "mars_adamw", {**ADAM, "gamma": "gamma", "optimize_1d": True}),
    row("PAdam", "padam_corrected", {**ADAM, "partial": "p"}),
    special("QHAdam", "qhadam_corrected", {**ADAM, "nus": ("nu1", "nu2")}, {}, **SINGLE),
    row("RAdam", "radam_waiting", ADAM),
    row("Ranger", "ranger", {**ADAM, "k": 6, "alpha": "alpha", "degenerated_to_sgd": True}),
    row("SWATS", "sparse_adam", ADAM, eps=0),
    row("SimplifiedAdEMAMix", "ademamix_simplified", {**ADAM, "foreach": False}),
    row("StableAdamW", "stable_adamw_corrected", DECAYED),
    row(
        "StableSPAM",
        "stable_spam",
        {**ADAM, "gamma1": "gamma1", "gamma2": "gamma2", "theta": "theta"},
    ),
    row("Yogi", "yogi_corrected", {**ADAM, "initial_accumulator": 0.0}),
)

OTHERS = (
    row("A2Grad", "a2grad_uni", {"lips": "L", "beta": "beta", "variant": "uni"}),
    row(
        "AccSGD",
        "accelerated_sgd",
        {"lr": "lr", "kappa": "kappa", "xi": "xi", "constant": "c"},
        kappa=2,
    ),
    row("AggMo", "aggmo_one_inertial", {"lr": "lr", "betas": (0.0, "beta2", "beta3")}),
    special("AliG", "alig_clipped", {"max_lr": "lr"}, {}, recalled=True),
    row(
        "Amos",
        "amos_corrected",
        {"lr": "lr", "beta": "beta", "c_coef": "c", "d_coef": "d", "eps": "eps"},
    ),
    special(
        "ApolloDQN",
        "apollo_quasi_newton",
        {"lr": "lr", "beta": "beta", "eps": "eps", "warmup_steps": 0},
        {"lr": 0.001},
        refused="E403",
    ),
    row("DAdaptAdam", "dadapt_adam", {**ADAM, "d0": "d0"}),
    row("DAdaptAdaGrad", "dadapt_adagrad", {"lr": "lr", "eps": "eps", "d0": "d0"}),
    row("DAdaptAdan", "dadapt_adan", {**ADAM, "betas": BETAS3, "d0": "d0"}),
    row("DAdaptLion", "dadapt_lion", {"lr": "lr", "betas": BETAS, "d0": "d0"}, d0=0.5, a2=0.2),
    special(
        "DAdaptSGD", "dadapt_sgd_averaged", {"lr": "lr", "momentum": "mu", "d0": "d0"}, {}, **SINGLE
    ),
    special(
        "FOCUS",
        "focus",
        {"lr": "lr", "betas": BETAS, "gamma": "gamma"},
        {"gamma": 0.2},
        start=POSITIVE_START,
    ),
    row("FTRL", "ftrl_plain", LR),
    special("FTRL", "ftrl", {"lr": "lr", "lambda_2": "l2"}, {}, refused="E307"),
    special(
        "FriendlySAM",
        "friendly_sam_small",
        {
            "base_optimizer": torch.optim.SGD,
            "lr": "lr",
            "rho": "rho",
            "sigma": "sigma",
            "lmbda": "lam",
        },
        {},
        recalled=True,
        **SINGLE,
    ),
    row("Fromage", "fromage", LR),
    row("Gravity", "gravity", {"lr": "lr", "alpha": 0.0, "beta": "beta"}),
    row("Kate", "kate_summed", {"lr": "lr", "delta": "delta", "eps": "eps"}),
    special(
        "LARS",
        "lars_momentum",
        {"lr": "lr", "momentum": "momentum", "weight_decay": "decay", "trust_coefficient": 1.0},
        {},
        shape=(1, 2),
    ),
    row("Lion", "lion", {"lr": "lr", "betas": BETAS, "weight_decay": "decay"}),
    row(
        "Lion",
        "cautious_lion_shared",
        {"lr": "lr", "betas": BETAS, "weight_decay": "decay", "cautious": True},
    ),
    special(
        "Lookahead",
        "lookahead_every_five",
        {"k": 5, "alpha": "alpha"},
        {},
        around=("SGD", LR),
    ),
    row("MADGRAD", "madgrad_momentum", {"lr": "lr", "momentum": "mu", "eps": "eps"}),
    row("MSVAG", "msvag", {"lr": "lr", "beta": "beta"}),
    special(
        "Nero",
        "nero",
        {"lr": "lr", "beta": "beta", "eps": "eps", "constraints": False},
        {},
        shape=(1, 2),
    ),
    row("NovoGrad", "novograd", ADAM),
    special("OrthoGrad", "orthograd", {}, {}, around=("SGD", LR), start=POSITIVE_START),
    row("PID", "pid_stiff", {"lr": "lr", "momentum": "mu", "derivative": "kd", "integral": "ki"}),
    row("PNM", "pnm", {"lr": "lr", "betas": ("beta1", "beta0")}),
    row("Prodigy", "prodigy", {**ADAM, "beta3": "beta3", "d0": "d0"}),
    row("QHM", "qhm", {"lr": "lr", "momentum": "beta", "nu": "nu"}),
    row(
        "RACS",
        "racs_vector",
        {"lr": "lr", "beta": "beta", "alpha": "alpha", "gamma": 1.1, "eps": "eps"},
    ),
    row("ROSE", "rose_vector", {"lr": "lr", "weight_decay": 0.0}),
    special(
        "SAM",
        "sam_small_radius",
        {"base_optimizer": torch.optim.SGD, "lr": "s", "rho": "rho"},
        {},
        recalled=True,
        **SINGLE,
    ),
    row("SCION", "scion_vector", {"lr": "lr", "momentum": "beta", "scale": "scale"}),
    special(
        "SCIONLight",
        "scion_light_vector",
        {"lr": "lr", "momentum": "beta", "scale": "scale"},
        {},
        summed=True,
    ),
    special(
        "SGDP",
        "sgdp_decayed",
        {"lr": "lr", "momentum": "mu", **PROJECTED},
        {},
        shape=(1, 2),
    ),
    row("SGDSaI", "sgd_scaled_at_start", {"lr": "lr", "momentum": "mu", "weight_decay": "decay"}),
    row("SGDW", "sgdw_fixed", {"lr": "lr", "momentum": "mu", "weight_decay": "decay"}),
    row("SM3", "sm3_plain", {"lr": "lr", "eps": "eps"}),
    special(
        "SRMM",
        "srmm_from_zero",
        {"lr": "lr", "beta": 0.5, "memory_length": 10**9},
        {},
        refused="E307",
    ),
    row(
        "ScheduleFreeAdamW",
        "schedule_free_adamw",
        {**DECAYED},
    ),
    row("ScheduleFreeRAdam", "schedule_free_radam", ADAM),
    row(
        "ScheduleFreeSGD",
        "schedule_free_sgd",
        {"lr": "lr", "momentum": "beta", "weight_decay": "decay"},
    ),
    special(
        "ScheduleFreeWrapper",
        "schedule_free_sgd",
        {"momentum": "beta"},
        {"decay": 0.0},
        around=("SGD", LR),
    ),
    row("SignSGD", "signsgd_momentum", {"lr": "lr", "momentum": "mu", "weight_decay": "decay"}),
    row(
        "TAM",
        "tam_elementwise",
        {"lr": "lr", "momentum": "mu", "decay_rate": "decay", "eps": "eps"},
    ),
    row("Tiger", "signsgd_momentum", {"lr": "lr", "beta": "mu", "weight_decay": "decay"}),
    row(
        "VSGD",
        "vsgd",
        {"lr": "lr", "ghattg": 3.0, "ps": 0.4, "tau1": 0.81, "tau2": 0.9, "eps": "eps"},
        pa2=1.8001,
        pbg2=0.8,
        pbh2=2.4,
    ),
)

MATRIX: dict[str, Any] = {"shape": (2, 2), "start": MATRIX_START}
FACTORED = {"lr": "lr", "clip_threshold": "d", "eps1": "eps1", "eps2": "eps2"}
MATRICES = (
    special(
        "AdaFactor",
        "adafactor_matrix_capped",
        {**FACTORED, "betas": (None, "cap"), "relative_step": False},
        {},
        **MATRIX,
    ),
    special("CAME", "came_matrix", {**FACTORED, "betas": BETAS3}, {}, **MATRIX),
    special(
        "RACS",
        "racs_matrix",
        {"lr": "lr", "beta": "beta", "alpha": "alpha", "gamma": 1e9, "eps": "eps"},
        {},
        **MATRIX,
    ),
    special("Shampoo", "shampoo_summed", {"lr": "lr", "matrix_eps": "eps"}, {}, **MATRIX),
)

ROWS = ADAPTIVE + OTHERS + MATRICES
