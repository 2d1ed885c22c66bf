"""Earshot: from labelled recordings to sound alerts an operator can trust."""

import os

# onnxruntime and BentoML report their use to their makers unless these are set before they are imported. Nothing of
# Earshot is imported before this file.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["BENTOML_DO_NOT_TRACK"] = "true"
