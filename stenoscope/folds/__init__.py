"""Five folds for the cross-validation: `split` draws them, `mean_image` and `files` store what they need."""
