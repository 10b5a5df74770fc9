"""Every figure that is reported, from tables and arrays alone.

`metrics` (of frames or clips), `clip_vote` (five frames make a clip), `intervals` (bootstrap over patients),
`summary` (all of it from predictions.csv, and differences between two experiments), `localisation` (heatmaps
against lesion boxes).
"""
