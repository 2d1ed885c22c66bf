"""What INT8 files answer, and how long they take, on processors with and without VNNI. Chooses by validation clips.

    make repro
    python benchmarks/cpus/run.py --json benchmarks/cpus/result.json

Ways to quantise the weights of the trained network are compared. Answers are those of this machine, of processors that
QEMU emulates (Debian: qemu-user), and of the kernels that onnxruntime has for older processors, run on this machine: in
a temporary copy of onnxruntime the check for AVX-512, or for VNNI, is made to fail. Those kernels can be timed.

Needs an x86 processor with AVX-512 and VNNI, and the onnxruntime of constraints.txt. About five minutes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))
import record
from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.deployment import quantize
from earshot.deployment.config import QuantizationParams
from earshot.deployment.export import export, for_int8
from earshot.deployment.saturation import saturating_pairs
from earshot.evaluation.calibration import fit_temperature
from earshot.model.scores import softmax
from earshot.training import checkpoint

RESTS_ON = (*record.TRAINING, "benchmarks/cpus", "tests/emulated_run.py")
RUNNER = record.ROOT / "tests/emulated_run.py"
EMULATED = ("Haswell", "Nehalem")
U8, S8 = quantize.QuantType.QUInt8, quantize.QuantType.QInt8
PRECISE = "session.x64quantprecision=1"
# Variant: options of `quantize_static` that differ from the project's, and the session's.
VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "weights of 8 bits": ({}, ""),
    "weights of 8 bits, x64quantprecision": ({}, PRECISE),
    "weights of 7 bits (reduce_range)": ({"reduce_range": True}, ""),
    "unsigned weights of 8 bits": ({"weight_type": U8}, ""),
    "signed activations": ({"activation_type": S8}, ""),
    "steps by what 16 bits hold": ({}, ""),
}
CHOSEN = "steps by what 16 bits hold"
TIMER = """
import os, sys, time
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
if sys.argv[3]:
    options.add_session_config_entry(*sys.argv[3].split("="))
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
given, taken = {"log_mel": np.load(sys.argv[2])["log_mel"][:1]}, []
for _ in range(120):
    start = time.perf_counter()
    session.run(["logits"], given)
    taken.append((time.perf_counter() - start) * 1e3)
print(min(taken))
"""


def main() -> None:
    """Quantise in each way, ask every processor, time, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--rounds", type=int, default=8, help="in which each variant is timed once (default: 8)")
    arguments = parser.parse_args()
    measured_on = record.machine("numpy", "onnxruntime", "onnx", "torch")
    seed = params.load_seed(stage.PARAMS)
    parts = load_parts(params.load("split", SplitParams, stage.PARAMS), seed)
    train, val, test = (parts.part(name) for name in ("train", "val", "test"))
    network = checkpoint.load("models/checkpoint.pt")
    chosen = quantize.choose_calibration(
        train.labels, params.load("quantization", QuantizationParams, stage.PARAMS).calibration_clips, seed
    )
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        kernels = {
            "this processor": "",
            **{name: str(altered(work, name)) for name in ("AVX-512 without VNNI", "AVX2")},
        }
        onnx.save(export(network), work / "fp32.onnx")
        files = {"fp32": (work / "fp32.onnx", "")}
        for number, (name, (options, session)) in enumerate(VARIANTS.items()):
            files[name] = (work / f"{number}.onnx", session)
            with quantised_with(options, by_pairs=name == CHOSEN):
                onnx.save(quantize.quantize(export(for_int8(network)), train.features[chosen]), files[name][0])
        clips = {"validation": val, "test": test}
        inputs = {part: work / f"{part}.npz" for part in clips}
        for part, of_part in clips.items():
            np.savez(inputs[part], log_mel=of_part.features.astype(np.float32))
        result: dict[str, Any] = {
            "dataset": params.mapping("dataset")["name"],
            "validation_clips": len(val.labels),
            "test_clips": len(test.labels),
            "chosen": CHOSEN,
            "variants": {},
        }
        recordings = val.clips["recording"].to_numpy(dtype=str)
        fp32 = answers(files["fp32"], inputs["validation"])
        for name, file in files.items():
            here = answers(file, inputs["validation"])
            temperature = fit_temperature(here, val.labels, recordings)
            others = {
                kernel: answers(file, inputs["validation"], library=kernels[kernel]) for kernel in list(kernels)[1:]
            }
            result["variants"][name] = {
                "bytes": file[0].stat().st_size,
                "accuracy": float((here.argmax(axis=1) == val.labels).mean()),
                "agreement_with_fp32": float((here.argmax(axis=1) == fp32.argmax(axis=1)).mean()),
                "logit_error_rms": float(np.sqrt(((here - fp32) ** 2).mean())),
                "saturating_pairs": saturating_pairs(onnx.load(file[0])),
                "kernels": {kernel: compared(there, here, temperature, val.labels) for kernel, there in others.items()},
                "fastest_ms": {},
            }
            print(name, result["variants"][name], flush=True)
        for part, of_part in clips.items():
            for name in ("weights of 8 bits", CHOSEN) if part == "validation" else (CHOSEN,):
                here = answers(files[name], inputs[part])
                temperature = fit_temperature(answers(files[name], inputs["validation"]), val.labels, recordings)
                found = result["variants"][name].setdefault("emulated", {})
                for cpu in EMULATED:
                    there = answers(files[name], inputs[part], cpu=cpu)
                    found.setdefault(cpu, {})[part] = compared(there, here, temperature, of_part.labels)
                    print(part, name, cpu, found[cpu][part], flush=True)
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(arguments.rounds):
            for kernel, library in kernels.items():
                for name, (path, session) in files.items():
                    command = [sys.executable, "-c", TIMER, str(path), str(inputs["validation"]), session]
                    times.setdefault((name, kernel), []).append(float(run(command, library)))
        for (name, kernel), taken in times.items():
            result["variants"][name]["fastest_ms"][kernel] = min(taken)
    rounded_result = rounded(result)
    if arguments.json:
        record.write(arguments.json, rounded_result, RESTS_ON, measured_on)
    print(rounded_result)


@contextmanager
def quantised_with(changes: dict[str, Any], by_pairs: bool) -> Iterator[None]:
    """The project's quantisation with other options, and with the steps that onnxruntime itself would take."""
    original = quantize.quantize_static

    def changed(*arguments: Any, **options: Any) -> None:
        extra = dict(options.pop("extra_options"))
        if not by_pairs:
            del extra["TensorQuantOverrides"]
        original(*arguments, **{**options, "extra_options": extra, **changes})

    quantize.quantize_static = changed
    try:
        yield
    finally:
        quantize.quantize_static = original


def altered(work: Path, without: str) -> Path:
    """A copy of onnxruntime that takes its kernels for a lesser processor; the folder for PYTHONPATH."""
    import onnxruntime

    package = Path(onnxruntime.__file__).parent
    folder = work / without.replace(" ", "_")
    shutil.copytree(package, folder / "onnxruntime", ignore=shutil.ignore_patterns("__pycache__"))
    (library,) = (folder / "onnxruntime/capi").glob("onnxruntime_pybind11_state*.so")
    code = bytearray(library.read_bytes())
    saves_avx512 = bytes.fromhex("a8e00f84")  # test al, 0xe0; je: the system saves the wide registers
    if code.count(saves_avx512) != 1:
        raise SystemExit("the check for AVX-512 is not where it is in the onnxruntime of constraints.txt")
    at = code.index(saves_avx512)
    if without == "AVX2":
        code[at + 2 : at + 8] = bytes.fromhex("660f1f440000")  # nop: never taken
    else:
        vnni = code.index(bytes.fromhex("81e700080000"), at)  # and edi, 0x800: the first after it
        code[vnni : vnni + 6] = bytes.fromhex("81e700000000")
    library.write_bytes(code)
    return folder


def answers(file: tuple[Path, str], inputs: Path, library: str = "", cpu: str = "") -> np.ndarray:
    """Logits of a file for `inputs`: here, by another copy of onnxruntime, or on an emulated processor."""
    path, session = file
    out = path.with_suffix(".out.npz")
    command = [sys.executable, str(RUNNER), str(path), str(inputs), str(out)]
    run(["qemu-x86_64", "-cpu", cpu, *command] if cpu else command, library, session)
    return np.load(out)["logits"]


def run(command: list[str], library: str, session: str = "") -> str:
    """The output of `command`, with onnxruntime from `library`, where that is not empty."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SESSION_CONFIG": session}
    if library:
        environment["PYTHONPATH"] = library
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def compared(there: np.ndarray, here: np.ndarray, temperature: float, labels: np.ndarray) -> dict[str, Any]:
    """Answers elsewhere beside those of this processor."""
    difference = np.abs(softmax(there, temperature) - softmax(here, temperature)).max()
    return {
        "accuracy": float((there.argmax(axis=1) == labels).mean()),
        "same_answer": float((there.argmax(axis=1) == here.argmax(axis=1)).mean()),
        "largest_probability_difference": float(difference),
        "same_bits": bool(np.array_equal(there, here)),
    }


def rounded(value: Any) -> Any:
    """`value` with its numbers to four significant digits."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
