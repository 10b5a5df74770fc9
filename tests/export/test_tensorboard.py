import pytest

from stenoscope.export.tensorboard import tensorboard_log

ROWS = [
    {"epoch": 0, "loss": 0.7, "accuracy": 0.5, "learning_rate": 1e-3, "seconds": 2.0},
    {"epoch": 1, "loss": 0.4, "accuracy": 0.75, "learning_rate": 5e-4, "seconds": 2.0},
]


def events(folder):
    import tensorflow as tf

    (path,) = folder.iterdir()
    assert "tfevents" in path.name
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [tf.compat.v1.Event.FromString(record) for record in records]


def test_each_epoch_is_on_the_disk_when_it_was_logged(tmp_path):
    with tensorboard_log(tmp_path / "fold_1") as log:
        log(ROWS[0])
        header, first = events(tmp_path / "fold_1")
        log(ROWS[1])
    assert header.file_version == "brain.Event:2" and first.step == 0 and first.wall_time > 1e9
    second = events(tmp_path / "fold_1")[2]
    values = {value.tag: value.simple_value for value in second.summary.value}
    assert second.step == 1 and values == pytest.approx(
        {"loss": 0.4, "accuracy": 0.75, "learning_rate": 5e-4}
    )


def test_a_resumed_fold_has_no_epoch_twice(tmp_path):
    with tensorboard_log(tmp_path) as log:
        log(ROWS[0])
    with tensorboard_log(tmp_path) as log:
        for row in ROWS:  # the trainer repeats the rows of its checkpoint
            log(row)
    assert [event.step for event in events(tmp_path)[1:]] == [0, 1]


def test_nothing_is_written_unless_asked_for(tmp_path):
    with tensorboard_log(None) as log:
        log(ROWS[0])
    assert list(tmp_path.iterdir()) == []
