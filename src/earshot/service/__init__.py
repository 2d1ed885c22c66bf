"""The HTTP service, over BentoML: the pipeline's own decoder and front end. Imports no torch, pandas or scikit-learn."""
