"""A cohort of simulated patients on disk: DICOM files, labels, truth."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from stenoscope.errors import DatasetError
from stenoscope.phantom.clip import simulate_clip
from stenoscope.phantom.dicom_writer import clip_dataset, write_clip
from stenoscope.phantom.lesions import MIN_DIAMETER_PX
from stenoscope.phantom.streams import stream
from stenoscope.roles import names
from stenoscope.run import csv_files, locks, provenance
from stenoscope.run.claims import remove
from stenoscope.run.commands import command, typed
from stenoscope.run.executors import executor, map_ordered
from stenoscope.settings import PhantomSettings

TRUTH_VERSION = 1
_DECIDING = names(PhantomSettings, "result")
"""Settings that decide the bytes of a cohort."""
_OWN_FILE = re.compile(
    r"\.?p\d{3,}_c\d.*\.dcm|\.?labels.*\.csv|\.?truth.*\.json|truth_masks|\.(manifest|lock).*\.json"
)
"""Names that a cohort writes, half-written ones (with a leading dot) included."""


@dataclass(frozen=True)
class ClipPlan:
    """Which clip to simulate."""

    clip_id: str  # such as p001_c1
    patient: int  # from 0
    number: int  # clip within the patient, from 0
    artery: str  # "RCA" or "LCA"
    label: int  # 1 abnormal, 0 normal

    @property
    def patient_id(self) -> str:
        """Pseudonym in labels.csv, the PatientID of the header."""
        return f"PHANTOM{self.patient + 1:05d}"


def plan_cohort(patients: int, seed: int) -> list[ClipPlan]:
    """Plan the clips of a cohort; a patient's plan does not depend on how many others there are.

    Four in five patients have a clip of each artery, each with a label of its own, the others one clip. The
    first clips of patients 2k and 2k + 1 have opposite labels, in random order: the cohort stays balanced.
    """
    plans = []
    for patient in range(patients):
        pair = stream(seed, "plan", patient // 2, 0).random() < 0.5
        rng = stream(seed, "plan", patient)
        first = "LCA" if rng.random() < 0.6 else "RCA"
        labels = [int(pair == (patient % 2 == 0)), int(rng.random() < 0.5)]
        arteries = [first, "RCA" if first == "LCA" else "LCA"]
        for number in range(2 if rng.random() < 0.8 else 1):
            name = f"p{patient + 1:03d}_c{number + 1}"
            plans.append(ClipPlan(name, patient, number, arteries[number], labels[number]))
    return plans


@locks.released()
def write_cohort(settings: PhantomSettings, on_clip: Callable[[], None] = lambda: None) -> dict:
    """Simulate a cohort and write it; `on_clip` is called after each clip.

    Returns the counts: patients, clips, abnormal, normal, frames. A DatasetError if the output folder holds a
    cohort of other settings and `overwrite` is off, or if another process writes to it.
    """
    folder = Path(settings.output)
    locks.hold(folder)
    _make_way(folder, settings)
    (folder / "truth_masks").mkdir(parents=True, exist_ok=True)
    plans = plan_cohort(settings.patients, settings.seed)
    truths = {}
    with executor(settings.workers) as pool:
        jobs = [(plan, settings.seed, str(folder), settings.min_diameter_px) for plan in plans]
        for (plan, *_), future in map_ordered(pool, _simulate_and_write, jobs):
            truths[plan.clip_id] = future.result()
            on_clip()
    names = ("clip_id", "patient_id", "label")
    rows = [{name: getattr(plan, name) for name in names} for plan in plans]
    provenance.write_text(folder / "labels.csv", csv_files.to_csv(rows, names))
    truth = {"schema": "stenoscope/truth", "version": TRUTH_VERSION, "clips": truths}
    provenance.write_text(folder / "truth.json", json.dumps(truth) + "\n")
    counts = {
        "patients": settings.patients,
        "clips": len(plans),
        "abnormal": sum(plan.label for plan in plans),
        "normal": sum(1 - plan.label for plan in plans),
        "frames": sum(item["num_frames"] for item in truths.values()),
    }
    provenance.write_manifest(folder, "phantom", settings, {}, counts, typed())
    return counts


def _simulate_and_write(job) -> dict:
    plan, seed, folder, least = job
    clip = simulate_clip(seed, plan.patient, plan.number, plan.artery, plan.label, min_diameter_px=least)
    header = stream(seed, "header", plan.patient, plan.number)
    dataset = clip_dataset(clip, seed, plan.patient, plan.number, header)
    write_clip(Path(folder) / f"{plan.clip_id}.dcm", dataset)
    encoded = cv2.imencode(".png", clip.vessel_mask.astype("uint8") * 255)[1].tobytes()
    provenance.write_bytes(Path(folder) / "truth_masks" / f"{plan.clip_id}.png", encoded)
    return {
        "start": clip.truth.start,
        "apex": clip.truth.apex,
        "apex_range": list(clip.truth.apex_range),
        "end": clip.truth.end,
        "artery": clip.artery,
        "num_frames": len(clip.frames),
        "lesions": clip.lesions,
    }


def _make_way(folder: Path, settings: PhantomSettings) -> None:
    """Clear the cohort that is replaced or was interrupted; refuse to touch anything else."""
    if (folder / provenance.MANIFEST).exists():
        manifest = provenance.read_manifest(folder, "phantom", command(PhantomSettings, output=folder))
        old = {"min_diameter_px": MIN_DIAMETER_PX, **manifest["settings"]}
        if not settings.overwrite and any(old.get(name) != getattr(settings, name) for name in _DECIDING):
            found, wanted = (
                f"patients={item['patients']} seed={item['seed']} min_diameter_px={item['min_diameter_px']:g}"
                for item in (old, asdict(settings))
            )
            raise DatasetError(
                f"{folder} holds a cohort of other settings: {found}.",
                f"{wanted}, or an empty folder",
                "choose another --output, or add --overwrite true.",
            )
        (folder / provenance.MANIFEST).unlink()
    present = [path for path in folder.iterdir() if path.name != locks.LOCK]
    foreign = [path.name for path in present if not _OWN_FILE.fullmatch(path.name)]
    if foreign:
        raise DatasetError(
            f"{folder} holds files that are no part of a simulated cohort, among them {min(foreign)}.",
            "an empty or new folder, or one that this command wrote",
            "choose another --output.",
        )
    for path in present:
        remove(path)
