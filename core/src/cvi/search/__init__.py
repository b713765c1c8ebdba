"""Which layers need BF16: rank them once by what INT8 does to the outputs, then select.

`sensitivity` measures each layer, `journal` keeps the measures so that a search can go on
where it was stopped, `select` chooses under a budget, `api` runs it all.
"""
