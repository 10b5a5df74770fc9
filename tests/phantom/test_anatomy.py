import numpy as np
import pytest

from stenoscope.phantom import anatomy
from stenoscope.phantom.streams import stream


@pytest.fixture(scope="module")
def trees():
    grown = {}
    for artery in ("RCA", "LCA"):
        heart = anatomy.make_heart(stream(7, "heart", 0))
        grown[artery] = heart, anatomy.grow_tree(heart, artery, stream(7, "tree", 0, 0))
    return grown


def test_heart_axes_are_orthonormal_and_point_where_they_should():
    heart = anatomy.make_heart(stream(7, "heart", 0))
    assert heart.axes @ heart.axes.T == pytest.approx(np.eye(3), abs=1e-12)
    apex = heart.axes[0]
    assert apex[0] > 0.3 and apex[1] < -0.3 and apex[2] < -0.2  # left, front, feet
    assert heart.axes[1][0] < -0.4  # the right heart border is on the patient's right
    assert heart.surface(0, 0) == pytest.approx(heart.centre + heart.size[0] * heart.axes[0])


@pytest.mark.parametrize(
    ("artery", "names"), [("RCA", {"RCA", "PDA", "AM"}), ("LCA", {"LAD", "LCX", "D1", "OM1"})]
)
def test_tree_has_its_named_vessels_on_the_epicardium(trees, artery, names):
    heart, tree = trees[artery]
    assert names <= set(tree.names)
    main = tree.vessel == 0
    local = (tree.points[main] - heart.centre) @ heart.axes.T / heart.size
    level = np.linalg.norm(local, axis=1)[main.sum() // 4 :]
    assert np.all(np.abs(level - 1) < 0.15)


@pytest.mark.parametrize("artery", ["RCA", "LCA"])
def test_vessels_taper_and_branches_are_narrower_than_their_parents(trees, artery):
    _, tree = trees[artery]
    for vessel in range(len(tree.names)):
        where = np.flatnonzero(tree.vessel == vessel)
        body = tree.radius[where[len(where) // 10 :]]
        assert np.all(np.diff(body) <= 1e-12)
        if vessel:
            assert tree.radius[where[0]] <= tree.radius[tree.origin[vessel]]
            assert tree.points[where[0]] == pytest.approx(tree.points[tree.origin[vessel]])
            assert tree.path[where[0]] == pytest.approx(tree.path[tree.origin[vessel]])


@pytest.mark.parametrize("artery", ["RCA", "LCA"])
def test_samples_are_dense_and_tangents_are_unit_vectors(trees, artery):
    _, tree = trees[artery]
    direction, step = anatomy.tangents(tree.points, tree.vessel)
    assert np.linalg.norm(direction, axis=1) == pytest.approx(1.0)
    assert np.all(step < 2.5 * anatomy.STEP_MM)
    same = tree.vessel[1:] == tree.vessel[:-1]
    gaps = np.linalg.norm(np.diff(tree.points, axis=0), axis=1)[same]
    assert gaps.max() < 3 * anatomy.STEP_MM  # winding stretches the steps a little


def test_natural_variation_is_there_but_is_no_stenosis(trees):
    _, tree = trees["LCA"]
    factor = anatomy.vary_calibre(tree, stream(7, "calibre", 0, 0)).radius / tree.radius
    assert factor.std() > 0.015
    assert factor.min() > 0.7499 and factor.max() < 1.5001
