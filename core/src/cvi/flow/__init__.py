"""The whole conversion as one tuple of stages, and the public functions that run it.

`stages.STAGES` is the table of contents; `api` holds what `cvi` exports.
"""
