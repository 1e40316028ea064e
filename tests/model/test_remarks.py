"""What a model's equations do not say themselves."""

import pytest

from optode.compiler import derive

IN_TIME = "of an f that changes with t, the terms with its derivative in t are not there"


@pytest.mark.parametrize(
    ("spec", "order", "has_jacobian"),
    [("adamax", 0, True), ("heavy_ball", 0, False), ("heavy_ball", 1, True), ("adam", 0, False)],
)
def test_a_jacobian_is_of_a_field_that_is_the_same_at_all_times(spec, order, has_jacobian):
    notes = derive(spec, order=order, step=0.1).model.notes
    assert any(IN_TIME in note for note in notes) == has_jacobian
