"""Every metric that is reported, from tables and arrays alone.

`metrics` (the registry of figures), `clip_vote` (key frames make a clip), `intervals` (bootstrap over
patients), `summary` (all of it from predictions.csv, and differences between two experiments), `comparison`
(the arms of a study or an audit), `calibration` and `decisions` (what held-out training patients teach about
probabilities and thresholds), `localisation` (heatmaps against lesion boxes).
"""
