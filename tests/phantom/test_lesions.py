import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from stenoscope.phantom import lesions
from stenoscope.phantom.clip import Painter
from stenoscope.phantom.scene import draw_scene
from stenoscope.phantom.streams import stream


def test_narrowing_by_hand():
    # 80 per cent, 10 long: 0.2 in the middle, half of the narrowing (0.6) at 5, nothing far away.
    assert lesions.narrowing(np.array([0.0, 5.0, -5.0, 30.0]), 0.8, 10.0) == pytest.approx(
        [0.2, 0.6, 0.6, 1.0]
    )


@pytest.fixture(scope="module")
def drawn(scenes):
    """Many draws of lesions on two trees."""
    found = []
    for artery, scene in scenes.items():
        sites = np.zeros(len(scene.tree.radius), bool)
        sites[[lesion.samples[len(lesion.samples) // 2] for lesion in scene.lesions]] = True
        path = scene.tree.path
        sites |= (scene.tree.vessel == 0) & (scene.diameter > 8) & (path > 15) & (path < path.max() - 15)
        positions = scene.positions[scene.truth.apex]
        for k in range(60):
            rng = stream(11, "lesion", k, 0)
            found.append((artery, lesions.draw_lesions(rng, scene.tree, sites, positions, scene.diameter)))
    return found


def test_drawn_lesions_keep_to_their_ranges(drawn):
    single = [lesion for _, group in drawn for lesion in group]
    focal = [lesion for lesion in single if lesion.kind == "focal"]
    assert 0.6 < len(focal) / len(single) < 0.9
    assert all(0.5 <= lesion.severity <= 0.9 and 5 <= lesion.length_px <= 15 for lesion in focal)
    assert all(0.5 <= lesion.severity <= 0.75 for lesion in single if lesion.kind == "diffuse")
    assert {len(group) for _, group in drawn} == {1, 2}


def test_a_lesion_is_as_severe_and_as_long_as_it_says(drawn, scenes):
    for artery, group in drawn:
        positions = scenes[artery].positions[scenes[artery].truth.apex]
        for lesion in group:
            assert 1 - lesion.factor.min() == pytest.approx(lesion.severity, abs=0.02)
            assert len(np.unique(scenes[artery].tree.vessel[lesion.samples])) == 1
            if lesion.kind == "focal":
                half = lesion.samples[lesion.factor < 1 - 0.5 * lesion.severity]
                run = np.linalg.norm(np.diff(positions[half], axis=0), axis=1).sum()
                assert run == pytest.approx(lesion.length_px, abs=1.5)


def test_eccentric_lumen_stays_within_the_vessel(drawn, scenes):
    for artery, group in drawn:
        for lesion in group:
            whole = scenes[artery].tree.radius[lesion.samples]
            shift = np.linalg.norm(lesion.offset, axis=1)
            assert np.all(shift + whole * lesion.factor <= whole + 1e-9)


@pytest.mark.parametrize(("patient", "artery"), [(p, a) for p in (21, 22) for a in ("RCA", "LCA")])
def test_rendered_lumen_narrows_by_the_square_of_the_factor(patient, artery):
    scene = draw_scene(7, patient, 0, artery, num_frames=5)
    apex = scene.truth.apex
    lesion = scene.lesions[0]
    healthy = Painter(scene, *lesions.apply_lesions(scene.tree, []))
    ill = Painter(scene, *lesions.apply_lesions(scene.tree, [lesion]))
    full = np.ones(len(scene.tree.radius))
    index = int(np.argmin(lesion.factor))
    sample = lesion.samples[index]
    here, ahead = scene.positions[apex, sample], scene.positions[apex, sample + 3]
    across = np.array([-(ahead - here)[1], (ahead - here)[0]]) / np.linalg.norm(ahead - here)
    reach = 0.5 * scene.diameter[sample] + 1
    line = here[:, None] + across[:, None] * np.linspace(-reach, reach, 60)
    areas = [map_coordinates(p.lumen(apex, full), line[::-1], order=1).sum() for p in (ill, healthy)]
    expected = lesion.factor[index] ** 2
    assert areas[0] / areas[1] == pytest.approx(expected, abs=0.16)
    assert areas[0] < 0.45 * areas[1]


def test_sites_obey_the_rules(scenes):
    for scene in scenes.values():
        apex = scene.truth.apex
        for lesion in scene.lesions:
            sample = lesion.samples[np.argmin(lesion.factor)]
            left, top, right, bottom = scene.camera.field
            x, y = scene.positions[apex, sample]
            assert left + 20 < x < right - 20 and top + 20 < y < bottom - 20
            assert scene.diameter[sample] >= 9.5  # about 2.5 mm
            assert scene.filled[sample] and scene.tree.solid[sample]


def test_no_site_in_vessels_narrower_than_stated(scenes):
    scene = scenes["RCA"]
    n, main = len(scene.tree.radius), scene.tree.vessel == 0
    sites = lesions.eligible_sites(
        scene.tree,
        scene.positions[scene.truth.apex],
        np.where(main, 9.6, 9.4),
        np.ones(n, bool),
        np.ones(n),
        lesions.Limits((0, 0, 512, 512)),
    )
    assert sites.any() and not sites[~main].any()


def test_the_least_diameter_is_a_setting_that_changes_nothing_but_the_sites(scenes):
    scene = draw_scene(7, 3, 0, "RCA", num_frames=8, min_diameter_px=7.5)
    assert np.array_equal(scene.positions, scenes["RCA"].positions)
    assert np.array_equal(scene.diameter, scenes["RCA"].diameter)

    def narrowest(patients, **options):
        drawn = [draw_scene(7, patient, 0, "RCA", num_frames=5, **options) for patient in patients]
        return min(
            scene.diameter[lesion.samples[np.argmin(lesion.factor)]]
            for scene in drawn
            for lesion in scene.lesions
        )

    assert 7.5 <= narrowest(range(6), min_diameter_px=7.5) < 9.5 <= narrowest(range(6))


def test_there_is_always_a_site(scenes):
    scene = scenes["RCA"]
    n = len(scene.tree.radius)
    positions = np.full((n, 2), -500.0)  # the tree is nowhere in the field
    sites = lesions.eligible_sites(
        scene.tree,
        positions,
        scene.diameter,
        np.zeros(n, bool),
        np.zeros(n),
        lesions.Limits((0, 0, 512, 512)),
    )
    assert sites.sum() == 1
