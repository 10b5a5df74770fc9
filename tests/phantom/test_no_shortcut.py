"""The label can't be read from anything but the lesion."""

import io

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stenoscope.phantom.clip import simulate_clip
from stenoscope.phantom.cohort import plan_cohort
from stenoscope.phantom.dicom_writer import clip_dataset
from stenoscope.phantom.streams import stream

NUM_FRAMES = 4


def shortcut_features(clip, dataset) -> list[float]:
    """Brightness, contrast, noise, drift, file size, header, opacified area: all but the lesion's shape."""
    black, white = clip.window
    frames = (clip.frames.astype(np.float32) - black) * (255 / (white - black))
    apex = frames[clip.truth.apex]
    grain = apex - cv2.GaussianBlur(apex, (0, 0), 1.0)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return [
        apex.mean(),
        apex.std(),
        *np.percentile(apex, (5, 50, 95)),
        np.median(np.abs(grain)),
        frames.mean(axis=(1, 2)).std(),
        len(buffer.getvalue()) / clip.bits,
        clip.bits,
        clip.text,
        clip.frame_time_ms,  # times NUM_FRAMES this is the duration drawn for the clip
        clip.truth.apex,
        clip.view.primary,
        clip.view.secondary,
        clip.view.source_to_detector,
        clip.view.pixel,
        float(dataset.KVP),
        dataset.XRayTubeCurrent,
        clip.artery == "RCA",
        clip.vessel_mask.mean(),
    ]


@pytest.fixture(scope="module")
def cohort():
    rows, labels = [], []
    for plan in plan_cohort(50, 7):
        if plan.number == 0:
            clip = simulate_clip(7, plan.patient, 0, plan.artery, plan.label, size=96, num_frames=NUM_FRAMES)
            header = stream(7, "header", plan.patient, 0)
            rows.append(shortcut_features(clip, clip_dataset(clip, 7, plan.patient, 0, header)))
            labels.append(plan.label)
    return np.array(rows, float), np.array(labels)


def auc(features, labels) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    return roc_auc_score(
        labels, cross_val_predict(model, features, labels, cv=folds, method="decision_function")
    )


def shuffled_aucs(features, labels, times=60) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([auc(features, rng.permutation(labels)) for _ in range(times)])


def test_simple_features_do_not_tell_the_label(cohort):
    features, labels = cohort
    low, high = np.percentile(shuffled_aucs(features, labels), (2.5, 97.5))
    assert low <= auc(features, labels) <= high
    assert low < 0.5 < high


def test_the_same_test_finds_a_planted_shortcut(cohort):
    features, labels = cohort
    planted = features.copy()
    planted[:, 0] += 15 * labels  # abnormal clips 15 grey levels brighter
    assert auc(planted, labels) > np.percentile(shuffled_aucs(planted, labels), 97.5)
