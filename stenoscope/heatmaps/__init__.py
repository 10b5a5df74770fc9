"""Maps of where a decision came from: signed evidence in logits, never rescaled per image."""
