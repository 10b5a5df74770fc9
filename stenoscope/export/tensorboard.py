"""A fold's training as a TensorBoard log, beside its history.csv."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stenoscope.export.extras import extra

FOLDER = "tensorboard"
"""Folder of an experiment's logs, a run for each fold (``tensorboard --logdir EXPERIMENT/tensorboard``)."""

_FILE = "events.out.tfevents.stenoscope"  # TensorBoard reads every file with "tfevents" in its name
_SCALARS = ("loss", "accuracy", "learning_rate")


@contextmanager
def tensorboard_log(folder: Path | None) -> Iterator[Callable[[dict], None]]:
    """Yield a function that logs a row of the history to the run's folder; None logs nothing.

    Each row is on the disk when the function returns, so that a run can be watched. A log begins anew when a
    fold is resumed: the trainer repeats the rows of its checkpoint. Events carry the time at which they were
    written, so no hash of an experiment covers them. A SettingsError if TensorFlow, which writes the records,
    is not installed (with another Keras backend, say).
    """
    if folder is None:
        yield lambda row: None
        return
    tf = extra("tensorflow", "requirements.txt")
    Event, Summary = tf.compat.v1.Event, tf.compat.v1.Summary
    folder.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / _FILE)) as records:

        def write(**content) -> None:
            records.write(Event(wall_time=time.time(), **content).SerializeToString())
            records.flush()

        def log(row: dict) -> None:
            values = [Summary.Value(tag=name, simple_value=row[name]) for name in _SCALARS]
            write(step=row["epoch"], summary=Summary(value=values))

        write(file_version="brain.Event:2")
        yield log
