"""Everything about a clip except its label: what is in the picture and how it moves.

`draw_scene` does not take the label, so nothing in it can depend on it. The lesions that the clip would have
are drawn here as well; whether they are applied is decided by `clip.simulate_clip` alone.
"""

from dataclasses import dataclass, replace

import numpy as np

from stenoscope.phantom import anatomy, background, bolus, detector, devices, lesions, motion, projection
from stenoscope.phantom.streams import stream

_VIEWS = {  # (primary, secondary) in degrees, LAO and cranial positive: the usual working views
    "RCA": ((35, 5), (30, 0), (-30, 0), (-25, 5), (8, 24), (22, 22), (40, -3)),
    "LCA": ((-12, 30), (-18, 28), (-20, -24), (-25, -14), (3, -27), (3, 33), (35, 26), (38, -30), (-5, 32)),
}
_FILLED = 0.6
"""Share of the plateau's contrast from which a vessel counts as well opacified."""


@dataclass(frozen=True)
class Truth:
    """When the tree is opacified; `start` and `end` are None where they lie outside the clip."""

    start: int | None  # first frame with contrast in the artery
    apex: int  # frame of fullest opacification
    apex_range: tuple[int, int]  # first and last frame of the plateau around it, inclusive
    end: int | None  # last frame with clearly opacified arteries


@dataclass(frozen=True)
class Scene:
    """One clip before it is rendered; the tree is without lesions and has n samples."""

    artery: str  # "RCA" or "LCA"
    frame_time: float  # seconds
    bits: int  # 8 or 12
    text: bool  # whether text is burned into the frames
    view: projection.View
    heart: anatomy.Heart
    tree: anatomy.Tree
    moves: motion.Motion
    injection: bolus.Bolus
    camera: detector.Detector
    catheter: devices.Catheter
    reflux: devices.Reflux
    thorax: background.Thorax
    contrast: np.ndarray  # float64 (num_frames, n): contrast at each sample in units of the plateau
    positions: np.ndarray  # float64 (num_frames, n, 2): columns and rows of the samples
    diameter: np.ndarray  # float64 (n,): without lesions at the apex, pixels
    truth: Truth
    lesions: list[lesions.Lesion]  # those of the clip if it is abnormal

    @property
    def filled(self) -> np.ndarray:
        """Samples that are well opacified at the apex, bool, shape (n,)."""
        return self.contrast[self.truth.apex] > _FILLED * self.injection.strength


def draw_scene(
    seed: int,
    patient: int,
    clip: int,
    artery: str,
    size: int = 512,
    num_frames: int | None = None,
    min_diameter_px: float = lesions.MIN_DIAMETER_PX,
) -> Scene:
    """Draw the scene of a clip of an artery, "RCA" or "LCA", from its random streams.

    `seed`, `patient` and `clip` are the address of the streams. The field of view in mm does not change with
    `size`, rows and columns. Without `num_frames`, 25 to 50 are drawn; a number spreads the same seconds over
    that many frames. `min_diameter_px` is the narrowest vessel that gets a lesion, pixels of a 512 x 512
    image.
    """

    def rng(name):
        return stream(seed, name, patient, clip)

    motion_rng, format_rng = rng("motion"), rng("format")
    quick = motion_rng.random() < 0.15
    drawn = int(motion_rng.integers(36, 51) if quick else motion_rng.integers(25, 49))
    frame_time = (1 / 15 if quick else 1 / 7.5) * (drawn / (num_frames or drawn))
    num_frames = num_frames or drawn
    period = 60 / motion_rng.uniform(52, 96)
    heart = anatomy.make_heart(stream(seed, "heart", patient))
    tree = anatomy.vary_calibre(anatomy.grow_tree(heart, artery, rng("tree")), rng("calibre"))
    view = _draw_view(rng("view"), artery, tree, size)
    moves = motion.draw_motion(motion_rng, num_frames, frame_time, period, 80 * size / 512)
    camera = detector.draw_detector(rng("detector"), size)
    bolus_rng, device_rng = rng("bolus"), rng("devices")
    injection = bolus.draw_bolus(bolus_rng, num_frames * frame_time, tree.path.max(), period)
    arrival = bolus.arrival_times(tree, injection.speed)
    contrast = np.stack([bolus.concentration(injection, arrival, i * frame_time) for i in range(num_frames)])
    thorax = background.draw_thorax(rng("thorax"), heart, view)
    thorax = replace(thorax, still=thorax.still + devices.draw_metal(device_rng, view))

    placed = [panned(view, moves, i).project(moves.move(heart, tree.points, i)) for i in range(num_frames)]
    positions, scale = (np.stack(part) for part in zip(*placed, strict=True))
    truth = opacification(tree, positions, scale, contrast, camera.field)
    scene = Scene(
        artery=artery,
        frame_time=frame_time,
        bits=12 if format_rng.random() < 0.125 else 8,
        text=bool(format_rng.random() < 0.3),
        view=view,
        heart=heart,
        tree=tree,
        moves=moves,
        injection=injection,
        camera=camera,
        catheter=devices.Catheter.draw(device_rng, tree),
        reflux=devices.Reflux.draw(device_rng, tree, injection.start, injection.stop),
        thorax=thorax,
        contrast=contrast,
        positions=positions,
        diameter=2 * tree.radius * scale[truth.apex],
        truth=truth,
        lesions=[],
    )
    return replace(scene, lesions=_draw_lesions(rng("lesion"), scene, min_diameter_px))


def panned(view: projection.View, moves: motion.Motion, frame: int) -> projection.View:
    """View of one frame, moved by the table."""
    column, row = view.centre
    return replace(view, centre=(column + moves.pan[frame, 0], row + moves.pan[frame, 1]))


def opacification(tree: anatomy.Tree, positions, scale, contrast, field) -> Truth:
    """True start, apex, plateau and end, from the contrast itself.

    The measure of a frame is the projected area of all lumen within the field (left, top, right, bottom),
    weighted by its contrast and relative to its maximum over the clip. Start is the first frame above 0.02
    (None if that is the first one), end the last frame above 0.5 (None if that is the last one), the plateau
    the run around the apex above 0.95. `positions`, (num_frames, n, 2), are pixels, `scale`, (num_frames, n),
    is pixels per mm.
    """
    left, top, right, bottom = field
    x, y = positions[..., 0], positions[..., 1]
    seen = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    level = np.sum(seen * contrast * (tree.radius * tree.solid) * scale, axis=1)
    level /= level.max()
    apex, final = int(np.argmax(level)), len(level) - 1
    lower = np.flatnonzero(level < 0.95)
    plateau = (
        int(max(lower[lower < apex], default=-1)) + 1,
        int(min(lower[lower > apex], default=final + 1)) - 1,
    )
    first, last = int(np.argmax(level > 0.02)), final - int(np.argmax(level[::-1] > 0.5))
    return Truth(first or None, apex, plateau, None if last == final else last)


def _draw_view(rng, artery, tree, size) -> projection.View:
    """Choose a working view, magnify it and put the tree into the middle of the field."""
    primary, secondary = _VIEWS[artery][rng.integers(len(_VIEWS[artery]))]
    primary, secondary = round(primary + rng.normal(0, 3.5), 1), round(secondary + rng.normal(0, 2.5), 1)
    distance = rng.uniform(1000, 1120)
    view = projection.View(primary, secondary, distance, 200 / size, size, (size / 2, size / 2))
    low, high = np.percentile(view.project(tree.points)[0], (2, 98), axis=0)
    # The operator magnifies until the tree fills the field, within the sizes that the detector offers.
    detector_mm = np.clip(200 * (high - low).max() / size / rng.uniform(0.68, 0.92), 165, 215)
    view = replace(view, pixel=float(detector_mm) / size)
    low, high = np.percentile(view.project(tree.points)[0], (2, 98), axis=0)
    wanted = size * (0.5 + rng.normal(0, 0.025, 2))
    centre = np.array(view.centre) + wanted - 0.5 * (low + high)
    return replace(view, centre=(float(centre[0]), float(centre[1])))


def _draw_lesions(rng, scene: Scene, min_diameter_px: float) -> list[lesions.Lesion]:
    apex = scene.truth.apex
    direction, _ = anatomy.tangents(scene.moves.move(scene.heart, scene.tree.points, apex), scene.tree.vessel)
    planar = np.linalg.norm((direction @ scene.view.axes.T)[:, :2], axis=1)
    positions = scene.positions[apex]
    limits = lesions.Limits(scene.camera.field, scene.view.size / 512, min_diameter_px)
    sites = lesions.eligible_sites(scene.tree, positions, scene.diameter, scene.filled, planar, limits)
    return lesions.draw_lesions(rng, scene.tree, sites, positions, scene.diameter, limits.zoom)
