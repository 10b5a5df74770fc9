"""Over a cohort of real size: lengths, times, headers and exposure do not tell the label.

The cohort is written as always, but its pixels are blank and a tree is its main vessel alone: no rendering.
"""

import json
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import pydicom
import pytest

from stenoscope.phantom import anatomy, clip, cohort
from stenoscope.phantom.anatomy import make_heart
from stenoscope.phantom.streams import stream
from stenoscope.settings import PhantomSettings

PATIENTS, SEED = 120, 7
TRUTH = ("start", "apex", "apex_range", "end", "artery")


class Blank:
    """Stands for `Painter`: frames without anything on them."""

    def __init__(self, scene, radius, shift):
        self.picture = np.full((scene.view.size,) * 2, 99, np.float32)

    def frame(self, i, noise):
        return self.picture

    def lumen(self, i, weight):
        return self.picture


@lru_cache
def main_vessel(artery):
    tree = grow_tree(make_heart(stream(SEED, "heart", 0)), artery, stream(SEED, "tree", 0, 0))
    first = tree.vessel == 0
    names = ("points", "radius", "path", "vessel", "solid")
    kept = {name: getattr(tree, name)[first] for name in names}
    return replace(tree, **kept, origin=tree.origin[:1], names=tree.names[:1])


grow_tree, plan_cohort = anatomy.grow_tree, cohort.plan_cohort


def write(folder, patients, plan=plan_cohort) -> pd.DataFrame:
    """Write a cohort without its pictures; what its files say of each clip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip, "Painter", Blank)
        patch.setattr(anatomy, "grow_tree", lambda heart, artery, rng: main_vessel(artery))
        patch.setattr(cohort, "simulate_clip", partial(clip.simulate_clip, size=16))
        patch.setattr(cohort, "plan_cohort", plan)
        cohort.write_cohort(PhantomSettings(output=str(folder), patients=patients, seed=SEED, workers=1))
    truth = json.loads((folder / "truth.json").read_text())["clips"]
    table = pd.read_csv(folder / "labels.csv", index_col="clip_id")
    rows = []
    for clip_id in table.index:
        header = pydicom.dcmread(folder / f"{clip_id}.dcm", stop_before_pixels=True)
        rows.append(
            {element.keyword: element.value for element in header}
            | {
                f"true_{name}": truth[clip_id][name]
                for name in ("start", "apex", "apex_range", "end", "artery")
            }
            | {"bytes": (folder / f"{clip_id}.dcm").stat().st_size}
        )
    return table.join(pd.DataFrame(rows, index=table.index))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write(tmp_path_factory.mktemp("blank"), PATIENTS)


def numbers(table) -> pd.DataFrame:
    """What a classifier could take from the files of a cohort."""
    length = table["NumberOfFrames"].astype(float)
    interval = pd.Series(  # ms
        [float(one if one is not None else vector[1]) for one, vector in zip(
            table["FrameTime"].astype(object).where(table["FrameTime"].notna(), None),
            table["FrameTimeVector"], strict=True,
        )],
        table.index,
    )  # fmt: skip
    plain = (
        "KVP", "XRayTubeCurrent", "ExposureTime", "BitsStored", "DistanceSourceToDetector",
        "PositionerPrimaryAngle", "PositionerSecondaryAngle", "true_apex", "true_start", "true_end",
    )  # fmt: skip
    return pd.DataFrame(
        {
            "length": length,
            "interval": interval,
            "duration": length * interval,
            "has_vector": table["FrameTimeVector"].notna(),
            "exposure": table["ExposureTime"] / length,
            "dose": table["XRayTubeCurrent"].astype(float) * table["ExposureTime"],
            "spacing": [float(value[0]) for value in table["ImagerPixelSpacing"]],
            "text": table["BurnedInAnnotation"] == "YES",
            "plateau": [last - first for first, last in table["true_apex_range"]],
            "RCA": table["true_artery"] == "RCA",
            "second": table.index.str.endswith("_c2"),
            "odd": table["patient_id"].str[-1].astype(int) % 2,
            "place": np.arange(len(table)),
            "bytes": table["bytes"],
            **{name: table[name] for name in plain},
        }
    ).astype(float)


def p_value(values: pd.DataFrame, labels: np.ndarray, times: int = 2000) -> float:
    """Permutation test of the largest standardised difference (Westfall and Young 1993)."""
    scaled = ((values - values.mean()) / values.std(ddof=0)).fillna(0.0).to_numpy()
    rng = np.random.default_rng(0)
    drawn = np.stack([labels, *(rng.permutation(labels) for _ in range(times))]) - labels.mean()
    largest = np.abs(drawn @ scaled).max(axis=1)
    return float((largest >= largest[0]).mean())


def test_nothing_that_the_files_say_tells_the_label(written):
    values = numbers(written)
    assert len(values) > 200 and (values.std() > 0).all(), "each varies"
    assert p_value(values, written["label"].to_numpy(float)) > 0.05


@pytest.mark.parametrize(
    "name, change",
    [("length", 4.0), ("KVP", 4.0), ("exposure", 1.0), ("interval", 15.0), ("RCA", 0.3), ("true_apex", 4.0)],
)
def test_the_same_test_finds_what_is_planted(written, name, change):
    values, labels = numbers(written), written["label"].to_numpy(float)
    assert p_value(values.assign(**{name: values[name] + change * labels}), labels) < 0.05


def test_with_the_other_label_a_clip_has_the_same_header(written, tmp_path):
    def flipped(patients, seed):
        return [replace(one, label=1 - one.label) for one in plan_cohort(patients, seed)]

    other = write(tmp_path / "other", 12, flipped)
    same = written.loc[other.index]
    assert (other["label"] == 1 - same["label"]).all() and len(other) > 15
    told = other.drop(columns="label").astype(str)
    pd.testing.assert_frame_equal(told, same[other.columns].drop(columns="label").astype(str))
