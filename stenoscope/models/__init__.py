"""Networks: backbone, attention, class map, pooling. Written in `keras.ops`, so any backend runs them."""
