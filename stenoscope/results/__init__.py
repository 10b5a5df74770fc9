"""Experiment folders and predictions: the only reader and writer of both.

`files` names what lies in a folder, and reads and writes tables and JSON; `predictions` makes the tables of
predictions; `experiment` opens a finished experiment.
"""
