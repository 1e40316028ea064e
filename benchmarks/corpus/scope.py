"""The classes that no row compares, with the reason."""

from __future__ import annotations

RANDOM = "draws random numbers in each step"
MATRIX = "acts on matrices: orthogonal factors, roots or projections of them"
NOT_A_RULE = "not an update rule: it changes the gradients or the precision of another optimizer"
OF_A_MODEL = "needs a whole model or several losses"
LOSS = "steps by the history of the loss"
LOW = "the low-precision or fused form of a rule in the table"

OUT_OF_SCOPE: dict[str, dict[str, str]] = {
    "torch.optim": {
        "LBFGS": "how many gradients a step takes depends on its line search",
        "Muon": "its orthogonal factors are in bfloat16 (tests/corpus/test_matrices.py compares them)",
    },
    "pytorch_optimizer": {
        "APOLLO": MATRIX,
        "ASGD": "sets its step from norms of the step before, in float32",
        "AdaGO": MATRIX,
        "AdaHessian": RANDOM,
        "AdaLOMO": LOW,
        "AdaMuon": MATRIX,
        "AdamMini": OF_A_MODEL,
        "Alice": MATRIX,
        "BSAM": RANDOM,
        "Conda": MATRIX,
        "DASH": MATRIX,
        "DeMo": MATRIX,
        "DistributedMuon": MATRIX,
        "EmoFact": LOSS,
        "EmoLynx": LOSS,
        "EmoNavi": LOSS,
        "Fira": MATRIX,
        "FlashAdamW": LOW,
        "GSAM": OF_A_MODEL,
        "GaLore": MATRIX,
        "Kron": RANDOM,
        "LOMO": LOW,
        "LoRARite": MATRIX,
        "LookSAM": "evaluates another gradient every tenth step only",
        "Magma": RANDOM,
        "Muon": MATRIX,
        "MuonClip": MATRIX,
        "NorMuon": MATRIX,
        "PCGrad": OF_A_MODEL,
        "Ranger21": "a schedule of the step over a given number of iterations, nine methods in one",
        "SOAP": MATRIX,
        "SPAM": RANDOM,
        "SPlus": MATRIX,
        "SaRA": RANDOM,
        "SafeFP16Optimizer": NOT_A_RULE,
        "ScalableShampoo": MATRIX,
        "SophiaH": RANDOM,
        "SpectralSphere": MATRIX,
        "TRAC": NOT_A_RULE,
        "WSAM": OF_A_MODEL,
    },
    "optax": {
        "lbfgs": "how many gradients a step takes depends on its line search",
        "muon": MATRIX,
        "noisy_sgd": RANDOM,
        "sophia": RANDOM,
    },
}
