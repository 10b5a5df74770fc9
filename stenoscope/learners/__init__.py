"""What learns: a protocol of a few methods, and the learners that follow it by name.

`protocol` says what a learner is; `registry` holds them by name and is the only other module that the rest of
the program needs. `cnn` is the network of `models` and `training`, `cnn_ensemble` several of them as one.
"""
