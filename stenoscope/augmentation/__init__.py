"""The 25 variants of every key frame: `grid` names them, `apply` makes them, `sheet` draws them."""
