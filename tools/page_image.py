"""Make docs/images/page.png: the service's page in Chromium, with a synthetic recording of a street.

    make repro && python tools/page_image.py

Needs a released model, Chromium and playwright.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from earshot.evaluation.disturbances import ambience  # noqa: E402
from earshot.sources.synthetic.scene import render  # noqa: E402
from earshot.sources.synthetic.signals import RATE_HZ  # noqa: E402
from serving import add_model_argument, earshot, running  # noqa: E402

TARGET = ROOT / "docs" / "images" / "page.png"
SCENE = (("dog_bark", 4.0, 3.0), ("siren", 11.0, 6.0), ("drilling", 21.0, 4.0))  # class, onset and length in seconds
LENGTH_S = 30.0
AMBIENCE_DB = -30.0  # below full scale
SIZE: Any = {"width": 900, "height": 920}
COLOURS = 32


def main() -> None:
    """Serve, upload, photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_argument(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "street.wav"
        soundfile.write(recording, street(), RATE_HZ, subtype="PCM_16")
        picture = Path(folder) / "page.png"
        with running(earshot(Path(folder) / "service", arguments.model)) as server:
            photograph(f"{server.url}/ui/", recording, picture)
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        # A palette makes the file a fifth as large.
        Image.open(picture).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size / 1e3:.0f} kB")


def street() -> np.ndarray:
    """The sounds of `SCENE` in ambience, float32 (samples,) at `RATE_HZ`, full scale at 1."""
    random = np.random.default_rng(20)
    scene = ambience(round(LENGTH_S * RATE_HZ), RATE_HZ, random) * 10 ** (AMBIENCE_DB / 20)
    for label, onset_s, length_s in SCENE:
        sound = render(random, label, 1, 1, length_s, [(0.0, length_s)])[:, 0]
        begin = round(onset_s * RATE_HZ)
        scene[begin : begin + len(sound)] += 0.4 * sound / np.abs(sound).max()
    return np.clip(scene, -1, 1).astype(np.float32)


def photograph(address: str, recording: Path, picture: Path) -> None:
    """Open the page at `address`, give it `recording`, and save what is seen when it has been answered."""
    switches = ["--disable-gpu", "--disable-background-networking"]
    if os.geteuid() == 0:
        switches.append("--no-sandbox")  # Chromium's sandbox refuses root
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=switches)
        page: Any = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose a file").click()
        chooser.value.set_files(recording)
        page.wait_for_selector("body.has-sound")
        page.wait_for_selector("#work", state="hidden")
        page.wait_for_timeout(1000)  # the spectrogram is drawn in pieces
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main()
