"""What INT8 files answer, and how long they take, on processors with and without VNNI. Chooses by validation clips.

    make repro
    python benchmarks/cpus/run.py --json benchmarks/cpus/result.json

Ways to quantise the weights of the trained network are compared. Answers are those of this machine, of processors that
QEMU emulates (Debian: qemu-user), and of the kernels that onnxruntime has for older processors, run on this machine: in
a temporary copy of onnxruntime the check for AVX-512, or for VNNI, is made to fail. Those kernels can be timed.

Needs an x86 processor with AVX-512 and VNNI, and the onnxruntime of constraints.txt. About five minutes.
"""

import argparse
import json
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

RESTS_ON = (
    *record.HEARING,
    "src/earshot/model",
    "src/earshot/training",
    "src/earshot/deployment",
    "benchmarks/cpus",
    "tests/emulated_run.py",
)
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
import json, os, sys, time
import numpy as np, onnxruntime
given, sessions, taken = {"log_mel": np.load(sys.argv[1])["log_mel"][:1]}, [], []
for path, entry in zip(sys.argv[3::2], sys.argv[4::2]):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if entry:
        options.add_session_config_entry(*entry.split("="))
    sessions.append(onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]))
    taken.append(float("inf"))
for _ in range(int(sys.argv[2])):
    for number, session in enumerate(sessions):
        for _ in range(5):
            start = time.perf_counter()
            session.run(["logits"], given)
            taken[number] = min(taken[number], (time.perf_counter() - start) * 1e3)
print(json.dumps(taken))
"""


def main() -> None:
    """Quantise in each way, ask every processor, time, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--rounds", type=int, default=60, help="of timing, five runs of each variant (default: 60)")
    parser.add_argument("--work", type=Path, help="keep the ONNX files there, and take those that are there already")
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
        work = arguments.work or Path(made)
        work.mkdir(exist_ok=True)
        kernels = {
            "this processor": "",
            **{name: str(altered(work, name)) for name in ("AVX-512 without VNNI", "AVX2")},
        }
        onnx.save(export(network), work / "fp32.onnx")
        files = {"fp32": (work / "fp32.onnx", "")}
        for number, (name, (options, session)) in enumerate(VARIANTS.items()):
            files[name] = (work / f"{number}.onnx", session)
            if files[name][0].exists():
                continue
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
        here = {part: answers(files[CHOSEN], inputs[part]) for part in clips}
        temperature = fit_temperature(here["validation"], val.labels, recordings)
        emulated = result["variants"][CHOSEN]["emulated"] = {cpu: {} for cpu in EMULATED}
        for cpu in EMULATED:
            for part, of_part in clips.items():
                there = answers(files[CHOSEN], inputs[part], cpu=cpu)
                emulated[cpu][part] = compared(there, here[part], temperature, of_part.labels)
                print(cpu, part, emulated[cpu][part], flush=True)
        for kernel, library in kernels.items():
            timed = [word for path, session in files.values() for word in (str(path), session)]
            command = [sys.executable, "-c", TIMER, str(inputs["validation"]), str(arguments.rounds), *timed]
            for name, fastest in zip(files, json.loads(run(command, library)), strict=True):
                result["variants"][name]["fastest_ms"][kernel] = fastest
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
    shutil.rmtree(folder, ignore_errors=True)
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
