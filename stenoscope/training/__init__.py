"""Training one fold: which frame in which variant when (`batches`), the loop (`fold`), the `machine`."""
