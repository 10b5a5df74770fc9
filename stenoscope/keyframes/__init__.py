"""Choice of the key frames of a clip: scores of the frames, and rules that select by them."""
