"""The HTTP service over BentoML: the pipeline's decoder and front end, no torch, pandas or scikit-learn."""
