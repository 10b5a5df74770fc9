"""Parts of `benchmarks/arcade_lesions.py`: lesions of real key frames, learned from labels of crops."""
