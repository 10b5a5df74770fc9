"""Every setting of every step, with its default and its reason: the only place with defaults.

One frozen dataclass per step. The scripts turn the fields into flags (``--variants_per_epoch 5``) and accept
them as YAML (``--config FILE``, ``--print_config``). The comment under each field is its help text. Each
field says its role: `result` can change what is computed, in the last digits too; `place` says where things
are read and written, or where other settings come from; `speed` says how the work is shared out.
"""

from dataclasses import dataclass
from typing import Literal

from stenoscope.roles import check_range, names, place, result, speed
from stenoscope.training_settings import TrainingSettings


@dataclass(frozen=True)
class PhantomSettings:
    """Step 0: a simulated cohort with known truth."""

    output: str = place("data/phantom")
    """Folder to write the DICOM files, labels.csv, truth.json and truth_masks/ to."""
    patients: int = result(120)
    """Number of simulated patients; four in five have a clip of each artery."""
    seed: int = result(7)
    """Same seed, same bytes."""
    min_diameter_px: float = result(9.5)
    """Narrowest vessel that gets a lesion, in pixels of a 512 x 512 frame; 9.5 are about 2.5 mm."""
    workers: int = speed(0)
    """Processes; 0 = one per available core."""
    overwrite: bool = place(False)
    """Replace a cohort that was made with other settings."""

    def __post_init__(self):
        check_range(self, "patients", 1, 100_000)
        check_range(self, "seed", 0, 2**63)
        check_range(self, "min_diameter_px", 1, 30)


@dataclass(frozen=True)
class KeyframeSettings:
    """Step 1: read the clips and choose key frames of each."""

    input: str = place("data/phantom")
    """Folder of clips (DICOM files, folders of numbered PNG/JPEG frames, AVI/MP4), or one clip."""
    layout: str = result("auto")
    """Layout of the folder: {data.layouts.LAYOUTS}; 'folders' are N/ and A/, 'clips' is any other, the rest
    are published data sets; 'auto' finds out and says which."""
    labels: str = place("auto")
    """A table clip_id,patient_id,label (CSV or .xlsx); 'folders' for the folders N/ (normal) and A/
    (abnormal); 'none' for key frames and a table to fill in, labels_template.csv; 'auto' takes
    INPUT/labels.csv or labels.xlsx if it exists, else the data set's own labels, else N/ and A/, and says
    which."""
    clip_column: str = result("clip_id")
    """Column of the label table with the clip ids; case, blanks, dots and hyphens do not count."""
    patient_column: str = result("patient_id")
    """Its column with the patients; without one, those of the DICOM headers are taken, as pseudonyms."""
    label_columns: str = result("label")
    """Its columns to train on, separated by commas (LAD,LCX,RCA); other columns are ignored and named."""
    classes: str = result("")
    """Words of the labels, that for 0 (normal) first: normal,abnormal; empty = the numbers 0 and 1."""
    same_patients: str = place("")
    """A table patient_id,same_as of ids that are one person's: they are merged. Step 1 and --check write a
    draft, same_patients.csv, where ids look alike; nothing is merged without it."""
    truth: str = place("auto")
    """Lesion boxes, to measure localisation: a truth.json, COCO JSON, CVAT XML, or a CSV file
    (clip_id,frame,x0,y0,x1,y1); 'none'; 'auto' takes INPUT/truth.json if it exists, else the data set's
    own boxes."""
    output: str = place("data/keyframes")
    """Folder to write clips.pickle, keyframes.csv, intake.csv, sheets/ and manifest.json to."""
    method: str = result("auto")
    """Key-frame method: {keyframes.registry.METHODS}, 'temporal' (learned) or 'published' (some of the frames
    that the data set's experts selected, evenly spread over them); 'auto' is 'published' for data sets of
    single or selected frames (such as ARCADE) and else 'opacification'."""
    keyframes: int = result(5)
    """Key frames of each clip, 1 to 99 (5: Moon 2021). A clip is called by their majority. All later steps,
    and predictions of new clips, take as many. Where a clip has, or its data set publishes, fewer frames,
    some repeat."""
    corrections: str = place("none")
    """Key frames corrected by hand: a CSV file (clip_id,keyframes; as many frame numbers from 0 as each clip
    has key frames, such as 12 13 14 15 16) of single clips; also a keyframes.csv of step 1 with changed rows.
    The method chooses the others."""
    spread: bool = result(False)
    """Spread the key frames over the plateau of full opacification, through the phases of the heart,
    instead of taking the apex and its neighbours; 'published' always spreads."""
    sheets: bool = result(True)
    """Write one PNG per clip with its opacification curve and its key frames."""
    pseudonym_key: str = place("data/pseudonym.key")
    """Secret behind the patient pseudonyms, made at first use; keep it to get the same pseudonyms again."""
    executor: Literal["auto", "serial", "processes", "dask"] = speed("auto")
    """Where clips are read; 'serial' is this process, 'auto' is 'dask' with an address, else 'processes'."""
    workers: int = speed(0)
    """Processes; 0 = one per available core."""
    dask_scheduler: str | None = speed(None)
    """Address of a running Dask scheduler (tcp://host:8786); its workers must see the same paths."""
    overwrite: bool = place(False)
    """Replace an output folder that was made with other settings or inputs."""

    def __post_init__(self):
        check_range(self, "keyframes", 1, 99)


@dataclass(frozen=True)
class TemporalSettings:
    """Train or score the key-frame method `temporal`, on simulated clips or on a folder with a label file."""

    output: str = place("results/temporal")
    """Folder to write weights.npz, history.csv, scores.json, figures/ and the like to."""
    input: str = place("")
    """Folder of clips; empty = simulated clips."""
    labels: str = place("")
    """Its ActivityNet-style label file; 'train' uses the subset 'training', 'evaluate' the other two."""
    patients: int = result(600)
    """Simulated patients to train on, with 1.8 clips each; 'evaluate' makes a tenth of them."""
    seed: int = result(7)
    """Seed of their cohort, as of `python -m stenoscope.phantom`, weights and random changes."""
    test_seed: int = result(2023)
    """Seed of the cohort to evaluate on: not the one of the training."""
    weights: str = result("")
    """Weights to begin the training with (fine-tuning) or to evaluate; empty = random, those that ship."""
    conv_lstm: bool = result(True)
    """Whether the network has its long-term part, the convolutional LSTM."""
    contrast: bool = result(True)
    """Whether to train with the image-to-patch contrastive loss; both off is the Transformer alone."""
    epochs: int = result(12)
    """Passes over the clips, which are changed at random in every pass."""
    learning_rate: float = result(1e-3)
    """Highest learning rate; it rises over the first steps and falls as a cosine."""
    workers: int = speed(0)
    """Processes that make or read clips; 0 = one per available core."""
    threads: int = speed(0)
    """Threads of the tensor library; 0 = one per available core."""

    def __post_init__(self):
        check_range(self, "epochs", 1, 10_000)


@dataclass(frozen=True)
class FoldSettings:
    """Step 2: folds, stratified by label and grouped by patient, and their training mean images."""

    input: str = place("data/keyframes")
    """Folder that step 1 wrote."""
    output: str = place("data/folds")
    """Folder to write three files a fold, folds.csv and manifest.json to."""
    folds: int = result(5)
    """Number of folds, 2 to 10; each class needs as many patients."""
    keep_folds: bool | str = place(False)
    """Keep every clip in the fold that it has in OUTPUT/folds.csv, whatever its label is now, and assign only
    new clips; or in the folds of another folder (--keep_folds FOLDER). Their number is kept, too."""
    seed: int = result(7)
    """Seed of the split; the split is saved and never silently redrawn."""
    materialize: bool = result(False)
    """Also write the full augmented arrays (25 variants; large: about 31 MB a clip and fold)."""
    overwrite: bool = place(False)
    """Replace folds that were drawn with another seed or from other clips."""

    def __post_init__(self):
        check_range(self, "folds", 2, 10)


@dataclass(frozen=True)
class AugmentSettings:
    """Draw one key frame in all its variants, and as training sees it."""

    input: str = place("data/keyframes")
    """Folder that step 1 wrote."""
    output: str = place("results/augment")
    """Folder to write sheet.png and training.png to."""
    clip: str = result("")
    """Clip to draw; empty = the first normal one: only those get twins with a synthetic narrowing."""
    preset: str = place("cpu")
    """Preset whose training images training.png shows."""
    keyframe: int | None = result(None)
    """Which of its key frames, from 0; empty = the middle one."""


@dataclass(frozen=True)
class PredictSettings:
    """Apply a finished experiment to new clips: the ensemble of its folds."""

    experiment: str = place("results/demo")
    """Folder of a finished experiment."""
    output: str = place("")
    """Folder to write to; empty = EXPERIMENT/predict."""
    layout: str = result("auto")
    """Layout of the folders, as in step 1: {data.layouts.LAYOUTS}; 'auto' finds out for each path."""
    method: str = result("auto")
    """Key-frame method, as in step 1: {keyframes.registry.METHODS}, 'temporal' or 'published'; 'auto' is
    'published' for data sets of single or selected frames (such as ARCADE) and else 'opacification'."""
    dicom: bool = result(False)
    """Also write DICOM objects that refer to the source (key frames, heatmap overlay) for the archive it came
    from. They carry the source's patient and study: NOT pseudonymised. Needs requirements-extra.txt."""
    pseudonym_key: str = place("data/pseudonym.key")
    """Secret behind the patient pseudonyms."""
    threads: int = speed(0)
    """Threads of the tensor library; 0 = one per available core."""


@dataclass(frozen=True)
class ExportSettings:
    """Write the ensemble of a finished experiment as one ONNX file. Needs requirements-extra.txt."""

    experiment: str = place("results/demo")
    """Folder of a finished experiment."""
    output: str = place("")
    """Folder to write model.onnx to; empty = EXPERIMENT/export."""
    tolerance: float = result(1e-3)
    """Largest accepted difference of probabilities, and of heatmaps in parts of their largest value."""
    threads: int = speed(0)
    """Threads of the tensor library; 0 = one per available core."""

    def __post_init__(self):
        check_range(self, "tolerance", 0.0, 1.0)


@dataclass(frozen=True)
class TuningSettings:
    """Search for better settings on inner folds, and score the choice on folds that took no part in it."""

    study: str = place("results/tuning/study")
    """Folder to write study.db, trials.csv, nested.csv, summary.json, report.html and best.yaml to; a study
    that exists is continued."""
    input: str = place("data/folds")
    """Folder that step 2 wrote."""
    trials: int = result(0)
    """Total number of trials for each outer fold; 0 = only print every setting as YAML to edit."""
    preset: str = place("cpu")
    """Preset whose training settings the trials vary; its own values are the first trial."""
    base: str = place("")
    """YAML file of training settings, as `main.py --config` takes, to start from instead of the preset."""
    space: str = place("")
    """YAML file of what to search, with lines like `epochs: [5, 10]` and `learning_rate: {low: 1.0e-5,
    high: 1.0e-3, log: true}`; empty = the built-in space. A study keeps its own in space.yaml."""
    outer_folds: int = result(1)
    """Folds, from 1 to this, whose test part scores settings chosen on their training part alone: a search
    for each. 1 is the cheapest honest score, all of them test every clip once."""
    inner_folds: int = result(3)
    """Folds that each training part is split into, by patient, to score a trial."""
    prune: bool = result(True)
    """Stop a trial early once its score after an inner fold is below the median of the finished trials'."""
    seed: int = result(7)
    """Seed of the search and of the inner folds."""
    executor: Literal["auto", "serial", "processes", "dask"] = speed("auto")
    """Where trials are trained; 'serial' is this process, 'auto' follows workers and dask_scheduler."""
    workers: int = speed(1)
    """Trials at a time, each in a process with its share of the threads; 1 = in this process, and the only
    number for which the same seed gives the same trials."""
    threads: int = speed(0)
    """Threads of the tensor library, all workers together; 0 = one per available core."""
    dask_scheduler: str | None = speed(None)
    """Address of a running Dask scheduler (tcp://host:8786): a trial at a time on each of its workers, which
    must see the input folder under the same path."""
    overwrite: bool = place(False)
    """Replace a study of other data, settings or space."""

    def __post_init__(self):
        check_range(self, "trials", 0, 100_000)
        check_range(self, "outer_folds", 1, 10)
        check_range(self, "inner_folds", 2, 20)
        check_range(self, "workers", 1, 1024)
        check_range(self, "seed", 0, 2**32 - 1)


CLASSES = (
    PhantomSettings,
    KeyframeSettings,
    TemporalSettings,
    FoldSettings,
    AugmentSettings,
    TrainingSettings,
    PredictSettings,
    ExportSettings,
    TuningSettings,
)
NO_RESULT = frozenset().union(*(names(item, "place", "speed") for item in CLASSES))
"""Settings that change no result, of all steps; a name has one role wherever it stands."""
