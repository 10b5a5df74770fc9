"""Every setting of every step, with its default and its reason: the only place with defaults.

One frozen dataclass per step. The scripts turn the fields into flags (``--variants_per_epoch 5``) and accept
them as YAML (``--config FILE``, ``--print_config``). The comment under each field is its help text.
"""

from dataclasses import dataclass
from typing import Literal

from stenoscope.errors import SettingsError


@dataclass(frozen=True)
class PhantomSettings:
    """Step 0: a simulated cohort with known truth."""

    output: str = "data/phantom"
    """Folder to write the DICOM files, labels.csv, truth.json and truth_masks/ to."""
    patients: int = 120
    """Number of simulated patients; four in five have a clip of each artery."""
    seed: int = 7
    """Same seed, same bytes."""
    min_diameter_px: float = 9.5
    """Narrowest vessel that gets a lesion, in pixels of a 512 x 512 frame; 9.5 are about 2.5 mm."""
    workers: int = 0
    """Processes; 0 = one per available core."""
    overwrite: bool = False
    """Replace a cohort that was made with other settings."""

    def __post_init__(self):
        _check_range(self, "patients", 1, 100_000)
        _check_range(self, "seed", 0, 2**63)
        _check_range(self, "min_diameter_px", 1, 30)


@dataclass(frozen=True)
class KeyframeSettings:
    """Step 1: read the clips and choose five key frames of each."""

    input: str = "data/phantom"
    """Folder of clips (DICOM files, folders of numbered PNG/JPEG frames, AVI/MP4), or one clip."""
    layout: str = "auto"
    """Layout of the folder: 'cadica', 'arcade', 'kemerovo' or 'angiodata' for these published data sets,
    'folders' for N/ and A/, 'clips' for any other; 'auto' finds out and says which."""
    labels: str = "auto"
    """A table clip_id,patient_id,label (CSV or .xlsx); 'folders' for the folders N/ (normal) and A/
    (abnormal); 'none' for key frames and a table to fill in, labels_template.csv; 'auto' takes
    INPUT/labels.csv or labels.xlsx if it exists, else the data set's own labels, else N/ and A/, and says
    which."""
    clip_column: str = "clip_id"
    """Column of the label table with the clip ids; case, blanks, dots and hyphens do not count."""
    patient_column: str = "patient_id"
    """Its column with the patients; without one, those of the DICOM headers are taken, as pseudonyms."""
    label_columns: str = "label"
    """Its columns to train on, separated by commas (LAD,LCX,RCA); every other column is ignored, and said."""
    classes: str = ""
    """Words of the labels, that for 0 (normal) first: normal,abnormal; empty = the numbers 0 and 1."""
    same_patients: str = ""
    """A table patient_id,same_as of ids that are one person's: they are merged. Step 1 and --check write a
    draft, same_patients.csv, where ids look alike; nothing is merged without it."""
    truth: str = "auto"
    """Lesion boxes, to measure localisation: a truth.json, COCO JSON, CVAT XML, or a CSV file
    (clip_id,frame,x0,y0,x1,y1); 'none'; 'auto' takes INPUT/truth.json if it exists, else the data set's
    own boxes."""
    output: str = "data/keyframes"
    """Folder to write clips.pickle, keyframes.csv, intake.csv, sheets/ and manifest.json to."""
    method: str = "auto"
    """Key-frame method: 'opacification' (one scale per clip), 'temporal' (learned), 'moon2021' (Moon 2021) or
    'published' (five of the frames that the data set's experts selected, evenly spread over them); 'auto' is
    'published' for data sets of single or selected frames (ARCADE, Kemerovo) and else 'opacification'."""
    keyframes: str = "none"
    """Key frames corrected by hand: a CSV file (clip_id,keyframes; five frame numbers from 0, such as
    12 13 14 15 16) of single clips; also a keyframes.csv of step 1 with changed rows. The method chooses
    the others."""
    spread: bool = False
    """Spread the five key frames over the plateau of full opacification, through the phases of the heart,
    instead of taking the apex and its four neighbours; 'published' always spreads."""
    sheets: bool = True
    """Write one PNG per clip with its opacification curve and its key frames."""
    pseudonym_key: str = "data/pseudonym.key"
    """Secret behind the patient pseudonyms, made at first use; keep it to get the same pseudonyms again."""
    executor: Literal["auto", "serial", "processes", "dask"] = "auto"
    """Where clips are read; 'serial' is this process, 'auto' is 'dask' with an address, else 'processes'."""
    workers: int = 0
    """Processes; 0 = one per available core."""
    dask_scheduler: str | None = None
    """Address of a running Dask scheduler (tcp://host:8786); its workers must see the same paths."""
    overwrite: bool = False
    """Replace an output folder that was made with other settings or inputs."""


@dataclass(frozen=True)
class TemporalSettings:
    """Train or score the key-frame method `temporal`, on simulated clips or on a folder with a label file."""

    output: str = "results/temporal"
    """Folder to write weights.npz, history.csv, scores.json, figures/ and the like to."""
    input: str = ""
    """Folder of clips; empty = simulated clips."""
    labels: str = ""
    """Its ActivityNet-style label file; 'train' uses the subset 'training', 'evaluate' the other two."""
    patients: int = 600
    """Simulated patients to train on, with 1.8 clips each; 'evaluate' makes a tenth of them."""
    seed: int = 7
    """Seed of their cohort, as of `python -m stenoscope.phantom`, weights and random changes."""
    test_seed: int = 2023
    """Seed of the cohort to evaluate on: not the one of the training."""
    weights: str = ""
    """Weights to begin the training with (fine-tuning) or to evaluate; empty = random, those that ship."""
    conv_lstm: bool = True
    """Whether the network has its long-term part, the convolutional LSTM."""
    contrast: bool = True
    """Whether to train with the image-to-patch contrastive loss; both off is the Transformer alone."""
    epochs: int = 12
    """Passes over the clips, which are changed at random in every pass."""
    learning_rate: float = 1e-3
    """Highest learning rate; it rises over the first steps and falls as a cosine."""
    workers: int = 0
    """Processes that make or read clips; 0 = one per available core."""
    threads: int = 0
    """Threads of the tensor library; 0 = one per available core."""

    def __post_init__(self):
        _check_range(self, "epochs", 1, 10_000)


@dataclass(frozen=True)
class FoldSettings:
    """Step 2: folds, stratified by label and grouped by patient, and their training mean images."""

    input: str = "data/keyframes"
    """Folder that step 1 wrote."""
    output: str = "data/folds"
    """Folder to write three files a fold, folds.csv and manifest.json to."""
    folds: int = 5
    """Number of folds, 2 to 10; each class needs as many patients."""
    keep_folds: bool | str = False
    """Keep every clip in the fold that it has in OUTPUT/folds.csv, whatever its label is now, and assign only
    new clips; or in the folds of another folder (--keep_folds FOLDER). Their number is kept, too."""
    seed: int = 7
    """Seed of the split; the split is saved and never silently redrawn."""
    materialize: bool = False
    """Also write the full augmented arrays (25 variants; large: about 31 MB a clip and fold)."""
    overwrite: bool = False
    """Replace folds that were drawn with another seed or from other clips."""

    def __post_init__(self):
        _check_range(self, "folds", 2, 10)


@dataclass(frozen=True)
class AugmentSettings:
    """Draw one key frame in all its variants, and as training sees it."""

    input: str = "data/keyframes"
    """Folder that step 1 wrote."""
    output: str = "results/augment"
    """Folder to write sheet.png and training.png to."""
    clip: str = ""
    """Clip to draw; empty = the first normal one: only those get twins with a synthetic narrowing."""
    preset: str = "cpu"
    """Preset whose training images training.png shows: crops, flips, shifts, synthetic narrowings."""
    keyframe: int = 2
    """Which of its five key frames, 0 to 4."""


@dataclass(frozen=True)
class TrainingSettings:
    """Step 3: train, test and explain one experiment over the folds.

    The defaults are those of ``--preset cpu``, which is made to run on two cores; ``--preset paper`` is the
    setting of Moon et al. 2021.
    """

    input: str = "data/folds"
    """Folder that step 2 wrote."""
    experiment: str = "results/demo"
    """Folder to write the experiment to."""
    seed: int = 7
    """Seed of weights, order and augmentation."""
    shuffle_labels: bool = False
    """Shuffle the labels among the clips of each test part before training: an honest pipeline then lands on
    AUC 0.5."""
    overwrite: bool = False
    """Replace an experiment that was run with other settings, with its audit/, predict/ and export/."""

    # Network
    backbone: str = "efficientnet_lite0"
    """Backbone from the registry; the default's ImageNet weights come with the installation."""
    weights: str = "imagenet"
    """'imagenet', 'none' (random), or the path of a weight file."""
    cut: str = "auto"
    """Last layer of the backbone to use: 'auto' (the backbone's own choice), 'top' or a layer's name."""
    image_size: int = 256
    """Rows and columns of the network's input, pixels; the 500 x 500 crop is resized to it."""
    enhance: Literal["none", "black_tophat"] = "black_tophat"
    """What the backbone sees: the mean-subtracted frame ('none') or its black top-hat (thin dark parts)."""
    subtract_mean: bool = True
    """Subtract the training part's mean image."""
    attention: str = "self_attention"
    """Attention block before the pooling: 'self_attention' (non-local, gain starts at zero), 'cbam', 'arl'
    (attention residual learning) or 'none'."""
    pooling: str = "log_sum_exp"
    """How the class map becomes one number: 'average' (the paper's), 'log_sum_exp', a soft maximum, which
    suits lesions that fill a few per cent of the image, or 'attention_mil' (learned weights per position)."""
    frozen_layers: float = 0.08
    """Share of the backbone's layers, from the input, that keep their pretrained weights (0 to 1); with 1 its
    features are computed once, which needs flip, shift and narrowings off."""
    freeze_batch_norm: bool = True
    """Keep the backbone's batch norm at its ImageNet statistics: small batches would spoil them."""

    # Training
    epochs: int = 18
    """Passes over the training part."""
    batch_size: int = 16
    """Frames per step."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Optimizer; 'sgd' has momentum 0.9."""
    learning_rate: float = 1e-3
    """Initial learning rate."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning-rate schedule over all steps; 'cosine' falls to zero."""
    warmup: float = 0.0
    """Epochs over which the learning rate first rises linearly from zero."""
    layer_decay: float = 1.0
    """Factor on the learning rate from each block of the backbone to the one before; 1 = one rate for all."""
    label_smoothing: float = 0.0
    """Labels 0 and 1 become half of this and 1 minus half of this."""
    augmentation: bool = True
    """Train on variants, flips and shifts; false = the centre crop alone (`narrowings` is another switch)."""
    variants_per_epoch: int = 1
    """Variants of each frame that one epoch visits, drawn with the seed; 25 = all."""
    frames_per_epoch: int = 3
    """Key frames of each clip that one epoch visits, drawn with the seed; 5 = all."""
    flip: bool = True
    """Also flip left-right and up-down at random."""
    shift: int = 16
    """Also shift at random by up to this many pixels of the network's input."""
    narrowings: bool = True
    """Give every training frame of a normal clip an abnormal twin, narrowed at one place by the program."""
    class_weights: bool = True
    """Weight the classes inversely to their frequency in the training part."""

    # Decisions
    mirrored_test: bool = True
    """A test frame's probability is the mean over the frame and its three mirror images."""
    inner_share: float = 0.0
    """Share of the training patients of each fold that is held out of training, to calibrate probabilities
    and to choose thresholds on; 0 = neither, and clips are decided by the majority of their frames at 0.5."""
    sensitivity: float = 0.9
    """Sensitivity for which a second threshold is chosen on the held-out training patients."""

    # Explanation
    heatmap: str = "cam"
    """Default heatmap method, drawn and scored first: 'cam', 'gradcam', 'gradcam_plus_plus', 'hirescam',
    'occlusion' (slow) or 'attention'. 'cam' and 'hirescam' are always drawn and scored beside it."""
    heatmap_layer: str = "auto"
    """Layer of the gradient-based maps ('gradcam', 'gradcam_plus_plus', 'hirescam'): 'auto' (the backbone's
    own choice) or a layer's name."""

    # Machine
    threads: int = 0
    """Threads of the tensor library; 0 = one per available core."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """What training computes in; the mixed ones are for GPUs. Weights are float32 in any case, and so is all
    that comes after training: test, heatmaps and saved networks."""
    jit: Literal["auto", "on", "off"] = "auto"
    """Compile the training step: 'auto' with JAX, and with TensorFlow on a GPU unless `deterministic`."""
    deterministic: bool = True
    """Ask TensorFlow for kernels whose result is the same in each run; false is for speed on a GPU."""
    devices: int = 1
    """Accelerators (or virtual CPU devices) that share each batch."""
    executor: Literal["auto", "serial", "processes", "dask"] = "auto"
    """Where folds are trained; 'serial' is this process, 'auto' follows workers and dask_scheduler."""
    workers: int = 1
    """Folds at a time, each in a process with its share of the threads and one of the accelerators."""
    dask_scheduler: str | None = None
    """Address of a running Dask scheduler (tcp://host:8786): a fold at a time on each of its workers."""
    tensorboard: bool = False
    """Log loss, accuracy and learning rate of each epoch: `tensorboard --logdir EXPERIMENT/tensorboard`."""

    def __post_init__(self):
        _check_range(self, "warmup", 0.0, 10_000)
        _check_range(self, "layer_decay", 0.01, 1.0)
        _check_range(self, "label_smoothing", 0.0, 0.9)
        _check_range(self, "inner_share", 0.0, 0.5)
        _check_range(self, "sensitivity", 0.01, 1.0)
        _check_range(self, "devices", 1, 1024)
        _check_range(self, "workers", 1, 1024)
        _check_range(self, "image_size", 32, 500)
        _check_range(self, "epochs", 1, 10_000)
        _check_range(self, "batch_size", 1, 4096)
        _check_range(self, "variants_per_epoch", 1, 25)
        _check_range(self, "frames_per_epoch", 1, 5)
        _check_range(self, "frozen_layers", 0.0, 1.0)
        _check_range(self, "shift", 0, 128)
        if not self.learning_rate > 0:
            raise SettingsError(f"learning_rate is {self.learning_rate}.", "a number above 0", "try 5e-4.")


@dataclass(frozen=True)
class PredictSettings:
    """Apply a finished experiment to new clips: the ensemble of its folds."""

    experiment: str = "results/demo"
    """Folder of a finished experiment."""
    output: str = ""
    """Folder to write to; empty = EXPERIMENT/predict."""
    layout: str = "auto"
    """Layout of the folders, as in step 1: 'cadica', 'arcade', 'kemerovo', 'angiodata', 'folders', 'clips';
    'auto' finds out for each path."""
    method: str = "auto"
    """Key-frame method, as in step 1: 'opacification', 'temporal', 'moon2021' or 'published'; 'auto' is
    'published' for data sets of single or selected frames (ARCADE, Kemerovo) and else 'opacification'."""
    dicom: bool = False
    """Also write DICOM objects that refer to the source (key frames, heatmap overlay) for the archive it came
    from. They carry the source's patient and study: NOT pseudonymised. Needs requirements-extra.txt."""
    pseudonym_key: str = "data/pseudonym.key"
    """Secret behind the patient pseudonyms."""
    threads: int = 0
    """Threads of the tensor library; 0 = one per available core."""


@dataclass(frozen=True)
class ExportSettings:
    """Write the ensemble of a finished experiment as one ONNX file. Needs requirements-extra.txt."""

    experiment: str = "results/demo"
    """Folder of a finished experiment."""
    output: str = ""
    """Folder to write model.onnx to; empty = EXPERIMENT/export."""
    tolerance: float = 1e-3
    """Largest accepted difference of probabilities, and of heatmaps in parts of their largest value."""
    threads: int = 0
    """Threads of the tensor library; 0 = one per available core."""

    def __post_init__(self):
        _check_range(self, "tolerance", 0.0, 1.0)


@dataclass(frozen=True)
class TuningSettings:
    """Search for better settings on inner folds, and score the choice on folds that took no part in it."""

    study: str = "results/tuning/study"
    """Folder to write study.db, trials.csv, nested.csv, summary.json, report.html and best.yaml to; a study
    that exists is continued."""
    input: str = "data/folds"
    """Folder that step 2 wrote."""
    trials: int = 0
    """Total number of trials for each outer fold; 0 = only print every setting as YAML to edit."""
    preset: str = "cpu"
    """Preset whose training settings the trials vary; its own values are the first trial."""
    base: str = ""
    """YAML file of training settings, as `main.py --config` takes, to start from instead of the preset."""
    space: str = ""
    """YAML file of what to search, with lines like `epochs: [5, 10]` and `learning_rate: {low: 1.0e-5,
    high: 1.0e-3, log: true}`; empty = the built-in space. A study keeps its own in space.yaml."""
    outer_folds: int = 1
    """Folds, from 1 to this, whose test part scores settings chosen on their training part alone: a search
    for each. 1 is the cheapest honest score, all of them test every clip once."""
    inner_folds: int = 3
    """Folds that each training part is split into, by patient, to score a trial."""
    prune: bool = True
    """Stop a trial early once its score after an inner fold is below the median of the finished trials'."""
    seed: int = 7
    """Seed of the search and of the inner folds."""
    executor: Literal["auto", "serial", "processes", "dask"] = "auto"
    """Where trials are trained; 'serial' is this process, 'auto' follows workers and dask_scheduler."""
    workers: int = 1
    """Trials at a time, each in a process with its share of the threads; 1 = in this process, and the only
    number for which the same seed gives the same trials."""
    threads: int = 0
    """Threads of the tensor library, all workers together; 0 = one per available core."""
    dask_scheduler: str | None = None
    """Address of a running Dask scheduler (tcp://host:8786): a trial at a time on each of its workers, which
    must see the input folder under the same path."""
    overwrite: bool = False
    """Replace a study of other data, settings or space."""

    def __post_init__(self):
        _check_range(self, "trials", 0, 100_000)
        _check_range(self, "outer_folds", 1, 10)
        _check_range(self, "inner_folds", 2, 20)
        _check_range(self, "workers", 1, 1024)
        _check_range(self, "seed", 0, 2**32 - 1)


def _check_range(settings, name: str, low: float, high: float) -> None:
    value = getattr(settings, name)
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value}.", f"{low} to {high}", f"set {name} within this range.")
