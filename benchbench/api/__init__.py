"""The Python door: load and run a benchmark, read its results, score label maps, predict with a trained row.

`benchbench.load`, `benchbench.results`, `benchbench.score` and `benchbench.predictor` are functions of its
modules, which are imported when the first of them is used.
"""
