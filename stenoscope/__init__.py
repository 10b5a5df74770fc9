"""Stenoscope: from coronary X-ray angiograms to cross-validated, explained classification.

The journey of the data, and the folder that holds each part of it:

====  ==========================  ====================================================================
step  script                      rooms
====  ==========================  ====================================================================
0     python -m stenoscope.phantom  ``phantom``: simulated angiograms with known truth
1     pickle_generator.py         ``imaging`` (read), ``vesselness``, ``keyframes`` (choose), ``dataset``
2     data_loader_kfold.py        ``folds`` (split, mean image)
-     augment.py                  ``augmentation`` (the 25 variants)
3     main.py                     ``models``, ``training``, ``heatmaps``, ``evaluation``, ``report``
3'    hyper_parameter_kfold.py    ``tuning``
====  ==========================  ====================================================================

Importing this package imports nothing else.
"""

__version__ = "0.1.0"
