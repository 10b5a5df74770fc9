"""Every setting of step 3, in the form of `stenoscope.settings`, which hands it on."""

from dataclasses import dataclass
from typing import Literal

from stenoscope.errors import SettingsError
from stenoscope.roles import check_range, place, result, speed


@dataclass(frozen=True)
class TrainingSettings:
    """Step 3: train, test and explain one experiment over the folds.

    The defaults are those of ``--preset cpu``, which is made to run on two cores; ``--preset paper`` is the
    setting of Moon et al. 2021.
    """

    input: str = place("data/folds")
    """Folder that step 2 wrote."""
    experiment: str = place("results/demo")
    """Folder to write the experiment to."""
    preset: str = place("cpu")
    """Named set of settings, listed by `main.py --help`; a file and flags override it."""
    seed: int = result(7, searched=False)
    """Seed of weights, order and augmentation."""
    shuffle_labels: bool = result(False, searched=False, part="data")
    """Shuffle the labels among the clips of each test part before training: an honest pipeline then lands on
    AUC 0.5."""
    overwrite: bool = place(False)
    """Replace an experiment that was run with other settings, with its audit/, predict/ and export/."""

    # Learner
    learner: str = result("cnn", searched=False)
    """What learns: {learners.registry.LEARNERS}; 'cnn' is the network that the settings below describe."""

    # Network
    backbone: str = result("efficientnet_lite0")
    """Backbone from the registry; the default's ImageNet weights come with the installation."""
    weights: str = result("imagenet")
    """'imagenet', 'none' (random), or the path of a weight file."""
    cut: str = result("auto")
    """Last layer of the backbone to use: 'auto' (the backbone's own choice), 'top' or a layer's name."""
    image_size: int = result(256)
    """Rows and columns of the network's input, pixels; the 500 x 500 crop is resized to it."""
    enhance: str = result("black_tophat")
    """What the backbone sees: {models.standardize.ENHANCE}; 'none' is the mean-subtracted frame,
    'black_tophat' its thin dark parts."""
    subtract_mean: bool = result(True)
    """Subtract the training part's mean image."""
    attention: str = result("self_attention")
    """Attention block before the pooling: 'self_attention' (non-local, gain starts at zero), 'cbam', 'arl'
    (attention residual learning) or 'none'."""
    pooling: str = result("log_sum_exp")
    """How the class map becomes one number: 'average' (the paper's), 'log_sum_exp', a soft maximum, which
    suits lesions that fill a few per cent of the image, or 'attention_mil' (learned weights per position)."""
    frozen_layers: float = result(0.08)
    """Share of the backbone's layers, from the input, that keep their pretrained weights (0 to 1); with 1 its
    features are computed once, which needs flip, shift and narrowings off."""
    freeze_batch_norm: bool = result(True)
    """Keep the backbone's batch norm at its ImageNet statistics: small batches would spoil them."""

    # Training
    epochs: int = result(18)
    """Passes over the training part."""
    batch_size: int = result(16)
    """Frames per step."""
    optimizer: Literal["adam", "adamw", "sgd"] = result("adam")
    """Optimizer; 'sgd' has momentum 0.9."""
    learning_rate: float = result(1e-3)
    """Initial learning rate."""
    schedule: Literal["constant", "cosine"] = result("cosine")
    """Learning-rate schedule over all steps; 'cosine' falls to zero."""
    warmup: float = result(0.0)
    """Epochs over which the learning rate first rises linearly from zero."""
    layer_decay: float = result(1.0)
    """Factor on the learning rate from each block of the backbone to the one before; 1 = one rate for all."""
    label_smoothing: float = result(0.0)
    """Labels 0 and 1 become half of this and 1 minus half of this."""
    augmentation: bool = result(True)
    """Train on variants, flips and shifts; false = the centre crop alone (`narrowings` is another switch)."""
    variants_per_epoch: int = result(1)
    """Variants of each frame that one epoch visits, drawn with the seed; 25 = all."""
    frames_per_epoch: int = result(3)
    """Key frames of each clip that one epoch visits, drawn with the seed; 5 = all."""
    flip: bool = result(True, augments="flips")
    """Also flip left-right and up-down at random."""
    shift: int = result(16, augments="shifts")
    """Also shift at random by up to this many pixels of the network's input."""
    narrowings: bool = result(True)
    """Give every training frame of a normal clip an abnormal twin, narrowed at one place by the program."""
    class_weights: bool = result(True)
    """Weight the classes inversely to their frequency in the training part."""

    # Decisions
    mirrored_test: bool = result(True)
    """A test frame's probability is the mean over the frame and its three mirror images."""
    inner_share: float = result(0.0, searched=False, part="data")
    """Share of the training patients of each fold that is held out of training, to calibrate probabilities
    and to choose thresholds on; 0 = neither, and clips are decided by the majority of their frames at 0.5."""
    sensitivity: float = result(0.9, searched=False, part="after")
    """Sensitivity for which a second threshold is chosen on the held-out training patients."""

    # Explanation
    heatmap: str = result("cam", searched=False, part="after")
    """Default heatmap method, drawn and scored first: {heatmaps.registry.METHODS}; 'occlusion' is slow.
    'cam' and 'hirescam' are always drawn and scored beside it."""
    heatmap_layer: str = result("auto", searched=False, part="after")
    """Layer of the gradient-based maps: 'auto' (the backbone's own choice) or a layer's name."""

    # Machine
    threads: int = speed(0)
    """Threads of the tensor library; 0 = one per available core."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = result("float32")
    """What training computes in; the mixed ones are for GPUs. Weights are float32 in any case, and so is all
    that comes after training: test, heatmaps and saved networks."""
    jit: Literal["auto", "on", "off"] = result("auto", searched=False)
    """Compile the training step: 'auto' with JAX, and with TensorFlow on a GPU unless `deterministic`; can
    change the last digits."""
    deterministic: bool = result(True, searched=False)
    """Ask TensorFlow for kernels whose result is the same in each run; false is for speed on a GPU and
    can change the last digits."""
    devices: int = result(1, searched=False)
    """Accelerators (or virtual CPU devices) that share each batch; can change the last digits."""
    executor: Literal["auto", "serial", "processes", "dask"] = speed("auto")
    """Where folds are trained; 'serial' is this process, 'auto' follows workers and dask_scheduler."""
    workers: int = speed(1)
    """Folds at a time, each in a process with its share of the threads and one of the accelerators."""
    dask_scheduler: str | None = speed(None)
    """Address of a running Dask scheduler (tcp://host:8786): a fold at a time on each of its workers."""
    tensorboard: bool = place(False)
    """Log loss, accuracy and learning rate of each epoch: `tensorboard --logdir EXPERIMENT/tensorboard`."""

    def __post_init__(self):
        check_range(self, "warmup", 0.0, 10_000)
        check_range(self, "layer_decay", 0.01, 1.0)
        check_range(self, "label_smoothing", 0.0, 0.9)
        check_range(self, "inner_share", 0.0, 0.5)
        check_range(self, "sensitivity", 0.01, 1.0)
        check_range(self, "devices", 1, 1024)
        check_range(self, "workers", 1, 1024)
        check_range(self, "image_size", 32, 500)
        check_range(self, "epochs", 1, 10_000)
        check_range(self, "batch_size", 1, 4096)
        check_range(self, "variants_per_epoch", 1, 25)
        check_range(self, "frames_per_epoch", 1, 99)
        check_range(self, "frozen_layers", 0.0, 1.0)
        check_range(self, "shift", 0, 128)
        if not self.learning_rate > 0:
            raise SettingsError(f"learning_rate is {self.learning_rate}.", "a number above 0", "try 5e-4.")
