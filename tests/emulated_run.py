"""Run ONNX files in onnxruntime, one after the other: `python emulated_run.py MODEL IN.npz OUT.npz ...`.

Meant for a processor that QEMU emulates, under which each import takes seconds: it needs NumPy and onnxruntime alone.
$SESSION_CONFIG may hold an entry for the session's configuration, `key=value`.
"""

import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime


def main(arguments: list[str]) -> None:
    """Write all outputs of each file for its inputs, which are given by name."""
    for model, inputs, outputs in zip(*[iter(arguments)] * 3, strict=True):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        if os.environ.get("SESSION_CONFIG"):
            options.add_session_config_entry(*os.environ["SESSION_CONFIG"].split("="))
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        with np.load(inputs) as given:
            answers = session.run(names, dict(given))
        np.savez(outputs, **dict(zip(names, answers, strict=True)))


if __name__ == "__main__":
    main(sys.argv[1:])
