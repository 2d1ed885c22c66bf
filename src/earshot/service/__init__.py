"""The HTTP service, over BentoML, with the pipeline's decoder and front end. Imports no torch, pandas or scikit-learn."""
