"""The data set on disk: labels, the plain pickle and its safe reader, and the key frames of all clips."""
