"""One module per script: the only place that wires rooms and paths together."""
