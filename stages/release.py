"""Stage: a candidate that passed the gate becomes the released model."""

from pathlib import Path

from earshot.core import stage
from earshot.core.files import exclusive
from earshot.deployment.release import release


def main() -> None:
    with exclusive("release"):
        release(Path("models/candidate"), Path("metrics/quantization.json"), Path("models"))
    print("released models/earshot.onnx, models/earshot.int8.onnx and models/model.json")


if __name__ == "__main__":
    stage.run(main)
