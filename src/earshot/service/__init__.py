"""The HTTP service: the same ears as the pipeline's, over BentoML. Imports no torch, pandas or scikit-learn."""
