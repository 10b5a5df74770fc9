"""The search for better settings, and how much it gains.

`space` says what may vary, `study` keeps the trials, `fits` the predictions of every training, `search` runs
the trials of an outer fold, `nested` compares inner and outer scores, `template` writes settings as YAML,
`report` the page.
"""
