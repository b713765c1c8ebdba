"""Calibration: from images to one threshold per layer.

`cvi.calibrate.calibrate` runs it, `cvi.calibrate.table` is its result as a file.
"""
