"""The keys of a spec, and the words that some of them take, each with its meaning.

The reader knows these keys and no others; ``schema.py`` hands them to editors.
"""

SPEC_KEYS = {
    "name": "The name of the emitted file: ASCII letters, digits and _.",
    "title": "One line for headings and for the docstring; the name where it is absent.",
    "reference": "A text, or a list of texts, for the docstring.",
    "family": "The part of the catalogue that the spec stands in.",
    "year": "The year of publication, four digits.",
    "step_size": "The symbol that goes to zero.",
    "parameters": "How each hyper-parameter moves with the step size: a formula, or a word.",
    "shape": "`matrix` where the position has rows and columns.",
    "state": "What the optimizer carries from step to step. The first is the position.",
    "update": "The lines of one step: `x[k+1] = ...` or `y = ...`.",
    "ode": "The lines of an ODE, in place of `update`: `x' = ...`.",
    "start": "The states at k = 0, where they are not zero.",
    "scaling": "Powers of the step size that optode is not to find by itself.",
    "verify": "Numbers that `optode verify` takes for hyper-parameters.",
    "model": "The neural ODE. Without it the spec has a limit and no module.",
    "extends": "Another spec to start from: a file beside this one, or a shipped spec.",
}  # fmt: skip
MODEL_KEYS = {
    "class": "The name of the emitted class.",
    "field": "What f takes the place of: minus the gradient, or the gradient as in games.",
    "rename": "Other names for states in the model.",
    "parameters": "The value of every parameter of the equations, learned or constant.",
    "initial": "Where each state but the first starts.",
    "equations": "Derived equations, rewritten; `rhs` is what was derived.",
    "smooth": "An expression in x that takes the place of sign(x), as tanh(x/0.01).",
    "span": "The default interval of time, [0.0, 1.0] where it is absent.",
}
LEARNED_KEYS = {
    "init": "The raw number that learning starts from.",
    "value": "A constant.",
    "transform": "The function that makes the parameter of the raw number.",
    "per": "`feature` for a value for each feature (channel of an image) of h.",
}
KINDS = {
    "fixed": "A number that keeps its value while the step size goes to zero.",
    "decay": "A number in (0, 1) whose scaling is left open.",
    "vector": "A constant for each feature.",
    "oracle": "An operator of the caller's.",
}
"""What a hyper-parameter may be in place of a formula."""

TRANSFORMS = ("none", "sigmoid", "softplus", "exp")
FIELDS = ("-grad", "grad")
SHAPES = ("matrix",)
PER = ("feature",)
STARTS = {
    "zero": "The state starts at 0.",
    "learned": "The state starts at a learned value for each feature.",
    "linear": "The state starts at a learned linear map of the features of h.",
    "given": "The caller gives the start.",
}
"""Where a state of the model may start, beside an expression."""

SHORTHANDS = ("initial", "equations")
"""Keys of the model that may stand at the top of a spec that extends another."""
