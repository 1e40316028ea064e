"""One way in which a rule goes to its limit, and the line of a spec that chooses it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from optode.language.text import to_text
from optode.limit.exponents import Regime
from optode.rule.rule import UpdateRule


@dataclass(frozen=True, slots=True)
class Scaling:
    """One way in which a rule goes to its limit.

    ``s = Delta^step_power``; decay i has ``1 - beta_i = c_i Delta^decay_powers[i]`` (order of the
    rule's decays; c_i = 1 where the power is strictly between the distinguished values), and
    ``z_j = Delta^powers[j] Z_j``. ``rates[j]`` is the exponent at which state j moves, 1 inertial,
    below fast, above frozen. ``unit`` is Delta in terms of the step size and the ``1 - beta_i``.
    """

    step_power: Fraction
    powers: tuple[Fraction, ...]
    rates: tuple[Fraction, ...]
    decay_powers: tuple[Fraction, ...] = ()
    regimes: tuple[Regime, ...] = ()
    unit: sp.Expr = sp.S.One

    def __post_init__(self) -> None:
        if self.step_power <= 0:
            raise ValueError("the step size must vanish with the continuous step")

    def as_declaration(self, rule: UpdateRule) -> str:
        """Return the line of a spec that chooses this scaling: its decays, or its unit of time."""
        lines = dict(rule.declared)
        for decay, power, regime in zip(rule.decays, self.decay_powers, self.regimes, strict=True):
            small = to_text(rule.step_size ** sp.Rational(power / self.step_power))
            factor = f"c_{decay}"
            if regime == "inertial":
                lines |= {str(decay): f"1 - {factor}*{small}", factor: "fixed"}
            else:
                lines[str(decay)] = "fixed" if regime == "fixed" else f"1 - {small}"
        if not rule.decays:
            return f"scaling: {{time: {to_text(self.unit)}}}"
        return f"parameters: {{{', '.join(f'{name}: {text}' for name, text in lines.items())}}}"

    @property
    def is_distinguished(self) -> bool:
        """Whether no smaller change of a decay leaves the limit as it is."""
        return all(regime in ("fixed", "inertial") for regime in self.regimes)
