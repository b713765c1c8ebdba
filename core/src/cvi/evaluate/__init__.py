"""Accuracy over labelled data sets.

`labels` reads which class every image has, `subjects` says what computes the scores
(framework, graph or program), `run` spreads the work over an executor of the standard
library's `concurrent.futures`, and `accuracy` counts.
"""
