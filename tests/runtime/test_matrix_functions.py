"""The matrix functions of the runtime, and of NumPy, against SciPy and by their derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg
from torch.autograd import gradcheck, gradgradcheck

from optode.language.matrix_arrays import matrix_function, matrix_reductions
from optode.runtime import matrix_functions as ours

pytestmark = pytest.mark.usefixtures("float64")
RECTANGLES = [(3, 4, 4), (3, 5, 2), (3, 2, 5)]
FUNCTIONS = {
    "polar": ours.polar,
    "newton_schulz_5": lambda x: ours.newton_schulz(x, 5),
    "inv_root_1": lambda x: ours.inv_root(x, 1),
    "inv_root_4": lambda x: ours.inv_root(x, 4),
    "eigenvectors": ours.eigenvectors,
}
RECTANGULAR = ("polar", "newton_schulz_5")
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def matrices(name, shape=(3, 4, 4)):
    """Random matrices: symmetric and positive where the function takes only those."""
    torch.manual_seed(5)
    x = torch.randn(shape)
    if name in RECTANGULAR:
        return x
    return x @ x.mT + torch.diag_embed(torch.arange(1.0, shape[1] + 1))


@pytest.mark.parametrize("shape", RECTANGLES)
def test_the_polar_factor_is_scipys(shape):
    x = matrices("polar", shape)
    for matrix, found in zip(x, ours.polar(x), strict=True):
        np.testing.assert_allclose(found, linalg.polar(matrix.numpy())[0], atol=1e-12)


@pytest.mark.parametrize("root", [1, 2, 4])
def test_inverse_roots_are_scipys(root):
    x = matrices("inv_root_4")
    for matrix, found in zip(x, ours.inv_root(x, root), strict=True):
        expected = linalg.fractional_matrix_power(matrix.numpy(), -1 / root)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_eigenvectors_diagonalize_and_point_one_way():
    x = matrices("eigenvectors")
    found = ours.eigenvectors(x)
    diagonal = found.mT @ x @ found
    torch.testing.assert_close(diagonal, torch.diag_embed(torch.linalg.eigvalsh(x)))
    largest = found.abs().argmax(-2, keepdim=True)
    assert (found.gather(-2, largest) > 0).all()


@pytest.mark.parametrize("shape", RECTANGLES)
def test_the_quintic_iteration_brings_singular_values_near_one(shape):
    """Jordan et al. 2024: into [0.7, 1.2] in five steps, from 0.01 of the norm on; vectors are kept."""
    u, s, v = torch.linalg.svd(matrices("polar", shape), full_matrices=False)
    values = torch.linalg.svdvals(ours.newton_schulz((u * s[..., None, :]) @ v, 5))
    assert (values > 0.65).all() and (values < 1.25).all()
    polar = torch.linalg.matrix_norm(ours.newton_schulz(u @ v, 5) - u @ v)
    assert (polar < 0.6).all()


@every_function
def test_numpy_has_the_same_values_and_derivatives(name):
    x, u = matrices(name)[0], matrices(name)[1]
    value, along = matrix_function(name)
    np.testing.assert_allclose(value(x.numpy()), FUNCTIONS[name](x), atol=1e-12)
    step = 1e-6
    difference = (value((x + step * u).numpy()) - value((x - step * u).numpy())) / (2 * step)
    np.testing.assert_allclose(along(x.numpy(), u.numpy()), difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "name, shape",
    [(n, s) for n in FUNCTIONS for s in RECTANGLES if n in RECTANGULAR or s == (3, 4, 4)],
)
def test_gradients_and_second_derivatives(name, shape):
    x = matrices(name, shape).requires_grad_()
    symmetric = name not in RECTANGULAR

    def function(x):
        return FUNCTIONS[name]((x + x.mT) / 2 if symmetric else x)

    assert gradcheck(function, x, check_forward_ad=name != "eigenvectors")
    assert gradgradcheck(function, x)


def test_gradients_where_singular_values_and_eigenvalues_coincide():
    x = (2 * torch.eye(3)).expand(2, 3, 3).clone().requires_grad_()
    assert gradcheck(ours.polar, x)
    assert gradcheck(lambda x: ours.inv_root((x + x.mT) / 2, 4), x)


@pytest.mark.parametrize("name", ["polar", "inv_root_4", "newton_schulz_5"])
def test_they_go_through_vmap_and_jvp(name):
    x, u = matrices(name), matrices(name).flip(0)
    each = torch.stack([FUNCTIONS[name](matrix) for matrix in x])
    torch.testing.assert_close(torch.func.vmap(FUNCTIONS[name])(x), each)
    change = torch.func.jvp(FUNCTIONS[name], (x,), (u,))[1]
    step = 1e-6
    difference = (FUNCTIONS[name](x + step * u) - FUNCTIONS[name](x - step * u)) / (2 * step)
    torch.testing.assert_close(change, difference, rtol=1e-7, atol=1e-8)


def test_a_singular_matrix_has_no_value():
    x = torch.stack([torch.eye(3), torch.zeros(3, 3), torch.full((3, 3), torch.nan)])
    for function in (ours.polar, lambda x: ours.inv_root(x, 2)):
        found = function(x)
        assert found[0].isfinite().all() and found[1:].isnan().all()
    with ours.singular_functions() as names:
        ours.polar(x[:2])
    assert names == ["polar"]


def test_reductions_over_rows_and_columns():
    x = torch.randn(2, 3, 4)
    over = {"total": torch.sum, "mean": torch.mean, "maximum": torch.amax}
    for kind, function in over.items():
        for axis, side in ((-1, "row"), (-2, "column")):
            found = getattr(ours, f"{side}_{kind}")(x)
            assert torch.equal(found, function(x, axis, keepdim=True).expand(2, 3, 4))
            numpy_name = f"{side}_{'highest' if kind == 'maximum' else kind}"
            arrays = matrix_reductions()[numpy_name](x.numpy())
            np.testing.assert_allclose(arrays, found, rtol=1e-14)
    square = torch.randn(2, 3, 3)
    assert torch.equal(ours.trace(square)[:, 0, 0], torch.stack([s.trace() for s in square]))
    assert torch.equal(ours.eye(x), torch.eye(3).expand(2, 3, 3))
    assert (ours.rows(x), ours.columns(x)) == (3, 4)
