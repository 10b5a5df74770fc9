"""Measurements that anyone can repeat: accuracy of the key frames, of the filter, and speed."""
