"""The folds of the cross-validation: `split` draws them, `mean_image` and `files` store what they need."""
