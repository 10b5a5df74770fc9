"""Start, apex and end learned from time: a key-frame method with trained weights.

Zhang et al. [1]_ find the contrast injection by temporal action localisation: two actions per clip, start
to apex and apex to end. Their parts are here: vessel features of consecutive frames (`features`), a
convolutional LSTM for the long term, a Transformer of local
windows on a pyramid of time scales for the short term, with anchor-free classification and boundary
regression [2]_ (`network`), and an image-to-patch contrastive loss between foreground and background
(`losses`). Their data are private; this one is trained on simulated clips (`train`).

References
----------
.. [1] Zhang et al., IEEE Trans Med Imaging 2023, doi 10.1109/TMI.2023.3286859.
.. [2] Zhang, Wu and Li, "ActionFormer: localizing moments of actions with transformers", ECCV 2022.
"""
