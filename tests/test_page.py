"""The page in a real Chromium, against a real `bentoml serve`: what a person with a file or a microphone sees."""

import base64
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

import tiny_model
from service_server import ROOT, running, wait_for
from sounds import noise, tone, wav

PAGE = ROOT / "src/earshot/service/page"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MICROPHONE_HZ = 3000.0  # what Chromium's fake microphone is fed

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: `apt-get install chromium` (Debian)")


# ---- a service, a browser, a page that is watched


@pytest.fixture(scope="module")
def service(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("service") / "home", tiny_model_path, {}) as server:
        yield f"{server.url}/"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    fed = tmp_path_factory.mktemp("microphone") / "fed.wav"
    soundfile.write(fed, tone(48_000, MICROPHONE_HZ, 6.0), 48_000, subtype="PCM_16")
    switches = [
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={fed}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        switches.append("--no-sandbox")  # Chromium's sandbox refuses root, whom containers and CI run as
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=switches)
        yield chromium
        chromium.close()


class Watched:
    """A page, everything it complained about, and everything it asked for."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.address = address
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(permissions=["microphone"], **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("filechooser", lambda chooser: None)  # choosers are caught from the start, not from the first wait
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)

    def choose(self, path: Path) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Choose a file").click()
        chooser.value.set_files(path)

    def until(self, expression: str) -> None:
        """Wait for a JavaScript expression to be true. Not `wait_for_function`: the page's policy forbids its eval."""
        assert wait_for(lambda: self.page.evaluate(expression), 30), expression

    def wait_until_idle(self) -> None:
        self.until("document.body.classList.contains('has-sound')")
        self.page.wait_for_selector("#work", state="hidden")

    def listen_to(self, path: Path) -> None:
        self.choose(path)
        self.wait_until_idle()

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def shown(self, selector: str) -> bool:
        return self.page.is_visible(selector)

    def audio(self, name: str) -> Any:
        return self.page.evaluate(f"document.getElementById('audio').{name}")

    def posts(self, route: str) -> int:
        return sum(url.startswith(self.address + route) for url in self.requests)


@pytest.fixture
def watched(browser: Any, service: str) -> Iterator[Watched]:
    """A page on which nothing may go wrong but what a test takes off `complaints`."""
    page = Watched(browser, service, viewport={"width": 1100, "height": 900})
    yield page
    page.context.close()
    assert page.complaints == []
    elsewhere = [url for url in page.requests if not url.startswith((service, f"blob:{service}"))]
    assert elsewhere == []


def post(address: str, route: str, path: Path) -> tuple[int, dict[str, Any]]:
    """The service's answer without a browser: what the page must show."""
    answer = httpx.post(address + route, files={"file": (path.name, path.read_bytes())}, timeout=60)
    return answer.status_code, answer.json()


def percent(probability: float) -> str:
    return f"{probability * 100:.1f}%" if probability >= 0.001 else "<0.1%"


def weights(watched: Watched) -> list[str]:
    """How bold each rank is."""
    rows = "[...document.querySelectorAll('#rank-list li')]"
    return watched.page.evaluate(f"{rows}.map((row) => getComputedStyle(row).fontWeight)")


def horn(path: Path) -> Path:
    path.write_bytes(wav(tiny_model.sound(tiny_model.OUTSIDE, 3.0)[:, None], tiny_model.RATE, "PCM_16").read())
    return path


def hiss(path: Path, duration_s: float = 3.0) -> Path:
    path.write_bytes(wav(noise(round(44_100 * duration_s), 2), 44_100, "PCM_16").read())
    return path


def street(path: Path, rate_hz: int = 22_050) -> Path:
    """Half a minute of quiet with a tone from 8 to 11 s and a hiss from 18 to 23 s."""
    samples = np.zeros((30 * rate_hz, 1))
    samples[8 * rate_hz : 11 * rate_hz] = tone(rate_hz, MICROPHONE_HZ, 3.0)
    samples[18 * rate_hz : 23 * rate_hz] = noise(5 * rate_hz)
    path.write_bytes(wav(samples, rate_hz, "PCM_16").read())
    return path


# ---- files


@needs_browser
def test_a_chosen_file_is_answered_as_the_service_answers_it(watched: Watched, service: str, tmp_path: Path) -> None:
    path = hiss(tmp_path / "tap.wav")
    _, answer = post(service, "classify", path)

    watched.listen_to(path)

    assert answer["predicted_class"] == "hiss"
    assert watched.text("#headline") == "Hiss" + percent(answer["confidence"])
    rows = [row.inner_text().split("\n") for row in watched.page.query_selector_all("#rank-list li")]
    assert rows == [[one["label"], percent(one["probability"])] for one in answer["top"]]
    assert ("Have a person check this" in watched.text("#verdict")) == answer["flag_for_review"]
    assert "60%" in watched.text("#verdict")
    assert watched.text("#file-note").startswith("3.0 s")
    assert "it names the class that is most like it" in watched.text("#model")
    assert "what is unlike enough it calls unknown" in watched.text("#model")
    assert weights(watched) == ["600", "400", "400"]  # the winner stands out
    assert "Hiss" in watched.text("#status")  # for screen readers
    assert not watched.shown("#events")
    assert not watched.shown("#token-form")


@needs_browser
def test_a_dropped_file_is_answered(watched: Watched, tmp_path: Path) -> None:
    content = base64.b64encode(hiss(tmp_path / "tap.wav").read_bytes()).decode()
    data = watched.page.evaluate_handle(
        """content => {
          const data = new DataTransfer();
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          data.items.add(new File([bytes], "dropped.wav"));
          return data;
        }""",
        content,
    )
    watched.page.dispatch_event("#model", "drop", {"dataTransfer": data})
    watched.wait_until_idle()
    assert watched.text("#headline").startswith("Hiss")
    assert watched.text("#file-name") == "dropped.wav"


@needs_browser
def test_silence_is_called_silence_and_left_to_a_person(watched: Watched, tmp_path: Path) -> None:
    path = tmp_path / "nothing.wav"
    path.write_bytes(wav(np.zeros((44_100, 1)), 44_100, "PCM_16").read())
    watched.listen_to(path)
    assert watched.text("#headline") == "Silence"
    assert "means nothing" in watched.text("#verdict")
    assert not watched.shown("#ranks")
    watched.listen_to(hiss(tmp_path / "tap.wav"))
    assert watched.shown("#ranks")


@needs_browser
def test_an_unknown_sound_is_called_so_and_no_class_wins(watched: Watched, service: str, tmp_path: Path) -> None:
    path = horn(tmp_path / "horn.wav")
    _, answer = post(service, "classify", path)
    threshold = httpx.get(f"{service}model").json()["unknown_threshold"]
    assert answer["predicted_class"] == "unknown"

    watched.listen_to(path)

    nearest = f"most like {answer['top'][0]['label']}"
    assert watched.text("#headline") == "Unknown"
    assert watched.text("#headline-note").startswith(f"{nearest}; from 3.0 s")
    assert watched.text("#verdict").startswith("Have a person check this: it seems to be none of the sounds")
    assert watched.page.locator("#verdict.flagged").count() == 1
    assert watched.text("#status").startswith(f"Unknown, {nearest}. Have a person check this")
    assert watched.text("#ranks-title") == "If it were one of the classes"
    rows = [row.inner_text().split("\n") for row in watched.page.query_selector_all("#rank-list li")]
    assert rows == [[one["label"], percent(one["probability"])] for one in answer["top"]]
    assert weights(watched) == ["400"] * 3
    note = watched.text("#rank-note")
    assert percent(answer["known"]) in note
    assert f"below {percent(threshold)} the answer is unknown" in note
    assert "about 8 in 10 should be right" not in note

    watched.listen_to(hiss(tmp_path / "tap.wav"))
    assert watched.text("#ranks-title") == "Probabilities"
    assert watched.text("#headline-note").startswith("from 3.0 s")
    assert weights(watched) == ["600", "400", "400"]


@needs_browser
def test_what_is_not_finite_is_refused_and_not_drawn(watched: Watched, service: str, tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    samples = noise(44_100)
    samples[1_000:1_100] = np.nan
    path.write_bytes(wav(samples, 44_100, "FLOAT").read())
    status, refusal = post(service, "classify", path)
    watched.listen_to(path)
    assert watched.page.get_by_role("alert").inner_text() == f"nan.wav: {refusal['error']['message']}"
    watched.page.wait_for_selector("#scope-note:has-text('not finite')")
    assert [c for c in watched.complaints if str(status) not in c] == []
    watched.complaints.clear()


@needs_browser
def test_a_file_that_is_no_sound_gets_the_services_words(watched: Watched, service: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("Bread, butter, eggs.\n" * 40)
    status, refusal = post(service, "classify", path)
    assert status == 415

    watched.listen_to(path)

    assert watched.page.get_by_role("alert").inner_text() == f"notes.wav: {refusal['error']['message']}"
    assert not watched.shown("#answer")
    assert not watched.shown("#sound")
    assert [c for c in watched.complaints if "415" not in c] == []  # the browser's own line for the status
    watched.complaints.clear()
    watched.listen_to(hiss(tmp_path / "tap.wav"))
    assert not watched.shown("#error")
    assert watched.text("#headline").startswith("Hiss")


@needs_browser
def test_what_only_the_service_can_decode_is_answered_without_a_picture(watched: Watched, tmp_path: Path) -> None:
    path = tmp_path / "old.aiff"
    path.write_bytes(wav(noise(3 * 44_100), 44_100, "PCM_24", "AIFF").read())
    watched.listen_to(path)
    assert watched.text("#headline").startswith("Hiss")
    assert watched.text("#file-note").startswith("3.0 s")  # from the service
    watched.page.wait_for_selector("#scope-note:has-text('cannot decode')")
    assert "cannot play" in watched.text("#player-note")
    assert watched.page.is_disabled("#play")


@needs_browser
def test_sending_shows_its_progress_and_can_be_cancelled(watched: Watched, tmp_path: Path) -> None:
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    network = watched.context.new_cdp_session(watched.page)
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", slow)
    watched.choose(hiss(tmp_path / "big.wav", 60))  # 10 MB: a hundred seconds
    watched.until("/Sending [1-9]/.test(document.getElementById('work-text').textContent)")
    with watched.page.expect_event("requestfailed") as failed:
        watched.page.get_by_role("button", name="Cancel").click()
    assert failed.value.failure == "net::ERR_ABORTED"
    assert not watched.shown("#work")
    assert watched.text("#status") == "Cancelled."
    assert not watched.shown("#error")
    network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    watched.listen_to(hiss(tmp_path / "tap.wav"))
    assert watched.text("#headline").startswith("Hiss")


# ---- microphone


@needs_browser
def test_a_recording_holds_what_the_microphone_heard_and_is_answered(watched: Watched) -> None:
    watched.page.get_by_role("button", name="Record").click()
    watched.until("parseFloat(document.getElementById('recording-time').textContent.slice(2)) >= 3")
    watched.page.get_by_role("button", name="Stop and listen").click()
    watched.wait_until_idle()

    assert watched.text("#headline").startswith("Whistle")
    with watched.page.expect_download() as download:
        watched.page.get_by_role("link", name="Save recording").click()
    samples, rate_hz = soundfile.read(download.value.path())
    assert samples.ndim == 1
    assert 3.0 <= len(samples) / rate_hz < 6.0
    whole = samples[rate_hz // 2 : rate_hz // 2 + 2 * rate_hz]  # after the device's own beginning
    spectrum = np.abs(np.fft.rfft(whole * np.hanning(len(whole))))
    assert np.fft.rfftfreq(len(whole), 1 / rate_hz)[spectrum.argmax()] == pytest.approx(MICROPHONE_HZ, abs=2)
    assert np.abs(whole).max() == pytest.approx(0.3, abs=0.02)  # no gain control, no noise suppression
    assert re.fullmatch(r"recording-.*\.wav", watched.text("#file-name"))


@needs_browser
def test_a_discarded_recording_is_not_sent(watched: Watched) -> None:
    watched.page.get_by_role("button", name="Record").click()
    watched.page.get_by_role("button", name="Discard").click()
    watched.page.wait_for_selector("#record", state="visible")
    assert watched.page.evaluate("document.activeElement.id") == "record"
    assert watched.posts("classify") == watched.posts("timeline") == 0


# ---- long recordings


@needs_browser
def test_the_timeline_lists_the_events_and_plays_them(watched: Watched, service: str, tmp_path: Path) -> None:
    path = street(tmp_path / "street.wav")
    _, answer = post(service, "timeline", path)
    events = sorted(answer["events"], key=lambda event: event["onset_s"])
    assert [event["label"] for event in events] == ["whistle", "hiss"]

    watched.listen_to(path)

    rows = watched.page.get_by_role("button", name=re.compile("^Play [hw]"))
    assert rows.count() == len(events)
    assert f"0:{events[0]['onset_s']:04.1f} – 0:{events[0]['offset_s']:04.1f}" in rows.nth(0).inner_text()
    rows.nth(1).focus()
    watched.page.keyboard.press("Enter")
    watched.until("!document.getElementById('audio').paused")
    assert events[1]["onset_s"] <= watched.audio("currentTime") <= events[1]["offset_s"]
    watched.until("document.getElementById('audio').paused")  # it stops where the event does
    assert watched.audio("currentTime") == pytest.approx(events[1]["offset_s"], abs=0.5)


@needs_browser
def test_a_click_on_the_picture_moves_the_player_there(watched: Watched, tmp_path: Path) -> None:
    watched.listen_to(street(tmp_path / "street.wav"))
    watched.page.wait_for_selector("#scope-note:has-text('Drawn')")
    time_s = point_out(watched, brightest_row=False)["time_s"]
    assert watched.audio("currentTime") == pytest.approx(time_s, abs=0.05)


@needs_browser
def test_a_recording_too_long_to_draw_is_sent_once_and_has_a_timeline(watched: Watched, tmp_path: Path) -> None:
    rate_hz = 22_050
    samples = np.zeros((302 * rate_hz, 1))
    samples[200 * rate_hz : 204 * rate_hz] = noise(4 * rate_hz)
    path = tmp_path / "night.wav"
    path.write_bytes(wav(samples, rate_hz, "PCM_16").read())

    watched.listen_to(path)

    assert (watched.posts("classify"), watched.posts("timeline")) == (0, 1)
    assert watched.text("#headline") == "1 event"
    assert watched.text("#headline-note") == "in 5 min 2 s"
    assert "Too long to be drawn" in watched.text("#scope-note")
    assert "hiss" in watched.text("#rank-list")
    watched.page.locator("#event-list button").click()
    watched.until("document.getElementById('audio').currentTime > 199")


# ---- the picture


def point_out(watched: Watched, brightest_row: bool) -> dict[str, float]:
    """Click halfway along the picture, or on its strongest pixel; what the read-out beside the pointer says."""
    where = watched.page.evaluate(
        """strongest => {
          const canvas = document.querySelector("#scope canvas");
          const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const box = canvas.getBoundingClientRect();
          let best = { x: width / 2, y: height / 2, light: Infinity };
          if (strongest) {
            // Below the waveform, right of the axis's words: the darkest pixel of the light theme's spectrogram.
            for (let y = 90; y < 285; y++) for (let x = 60; x < width - 20; x++) {
              const at = 4 * (y * width + x);
              const light = data[at] + data[at + 1] + data[at + 2];
              if (light < best.light) best = { x, y, light };
            }
          }
          return { x: box.x + (best.x / width) * box.width, y: box.y + (best.y / height) * box.height };
        }""",
        brightest_row,
    )
    watched.page.mouse.click(where["x"], where["y"])
    found = re.fullmatch(r"(\d+):([\d.]+) · (\d+) Hz", watched.text(".readout"))
    assert found, watched.text(".readout")
    return {"time_s": 60 * int(found[1]) + float(found[2]), "frequency_hz": float(found[3])}


@needs_browser
@pytest.mark.parametrize("frequency_hz", [500.0, 1000.0, 5000.0])
def test_a_tone_is_drawn_at_its_frequency_and_time(watched: Watched, tmp_path: Path, frequency_hz: float) -> None:
    samples = np.zeros((4 * 44_100, 1))
    samples[44_100 : 2 * 44_100] = tone(44_100, frequency_hz, 1.0)
    path = tmp_path / "tone.wav"
    path.write_bytes(wav(samples, 44_100, "PCM_16").read())
    watched.listen_to(path)
    watched.page.wait_for_selector("#scope-note:has-text('Drawn')")
    watched.page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    place = point_out(watched, brightest_row=True)
    assert 1.0 <= place["time_s"] <= 2.0
    assert place["frequency_hz"] == pytest.approx(frequency_hz, rel=0.05)
    peak_db = re.search(r"Peak −([\d.]+) dB", watched.text("#scope-note"))
    assert peak_db
    assert -float(peak_db[1]) == pytest.approx(20 * np.log10(0.3), abs=0.6)  # resampling rings at the tone's ends


@needs_browser
def test_spectra_are_those_of_numpy(watched: Watched) -> None:
    samples = np.random.default_rng(3).standard_normal(6000).astype(np.float32)
    columns, size = 3, 1024
    found = watched.page.evaluate(
        f"samples => import('./spectrum.js').then((m) => m.spectra(Float32Array.from(samples), {columns}, {size}))"
        ".then((values) => [...values])",
        samples.tolist(),
    )
    padded = np.concatenate([np.zeros(size), samples, np.zeros(size)])
    window = np.hanning(size + 1)[:-1]
    frames = 4  # of each column: 2000 samples, with no more than 512 from one to the next
    expected = []
    for column in range(columns):
        centres = [round((column + (frame + 0.5) / frames) * 2000) for frame in range(frames)]
        cut = np.stack([padded[centre - size // 2 + size :][:size] * window for centre in centres])
        expected.append((np.abs(np.fft.rfft(cut)) ** 2).max(0) / (size / 4) ** 2)
    np.testing.assert_allclose(np.reshape(found, (columns, -1)), 10 * np.log10(np.array(expected)), atol=1e-3)


@needs_browser
def test_axes_have_round_ticks_at_their_true_places(watched: Watched) -> None:
    axis = watched.page.evaluate(
        """() => import('./axis.js').then((axis) => ({
          short: axis.timeTicks(4, 10), minute: axis.timeTicks(61, 8), night: axis.timeTicks(30000, 10),
          words: [[0.5, 4], [30, 61], [3600, 30000]].map(([time, whole]) => axis.timeTickText(time, whole)),
          heights: [0, 1000, 11025].map((frequency) => axis.heightOf(frequency, 11025)),
          clocks: [0, 59.96, 61.25, 3599.99, 7325.5].map((time) => axis.clock(time)),
          lengths: [0.04, 9.96, 59.7, 60, 250, 7290].map(axis.lengthText),
          percents: [0, 0.0004, 0.5, 0.9996, 1].map(axis.percent),
        }))"""
    )
    assert axis["short"] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert axis["minute"] == [0, 10, 20, 30, 40, 50, 60]
    assert axis["night"] == [0, 3600, 7200, 10800, 14400, 18000, 21600, 25200, 28800]
    assert axis["words"] == ["0.5 s", "0:30", "1:00:00"]
    mel = 1127.0 * np.log1p(np.array([0, 1000, 11025]) / 700)  # natural logarithm: another way to write the scale
    np.testing.assert_allclose(axis["heights"], mel / mel[-1], rtol=1e-4)
    assert axis["clocks"] == ["0:00.0", "1:00.0", "1:01.3", "1:00:00.0", "2:02:05.5"]
    assert axis["lengths"] == ["0.0 s", "10 s", "1 min", "1 min", "4 min 10 s", "2 h 2 min"]
    assert axis["percents"] == ["0.0%", "<0.1%", "50.0%", ">99.9%", "100.0%"]


# ---- for everyone


@needs_browser
def test_the_keyboard_alone_is_enough(watched: Watched, tmp_path: Path) -> None:
    keys = watched.page.keyboard
    reached = []

    def tab_to(name: str) -> None:
        for _ in range(20):
            keys.press("Tab")
            focused = watched.page.evaluate(
                "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " return [e.id || e.tagName, s.outlineStyle, s.outlineWidth]; })()"
            )
            reached.append(focused)
            if focused[0] == name:
                return
        pytest.fail(f"Tab never came to {name}, only to {reached}")

    tab_to("choose")
    with watched.page.expect_file_chooser() as chooser:
        keys.press("Enter")
    chooser.value.set_files(street(tmp_path / "street.wav"))
    watched.wait_until_idle()
    tab_to("play")
    keys.press("Space")
    watched.until("!document.getElementById('audio').paused")
    # The element's own events follow its state, and the button's name follows them.
    watched.page.get_by_role("button", name="Pause").wait_for(state="visible")
    keys.press("Space")
    watched.until("document.getElementById('audio').paused")
    tab_to("seek")
    keys.press("End")
    watched.until("document.getElementById('audio').currentTime > 29")
    tab_to("save-labels")
    keys.press("Tab")
    keys.press("Enter")  # the first event
    watched.until("document.getElementById('audio').currentTime < 12")
    assert all(style != "none" and width != "0px" for _, style, width in reached), reached


CONTRASTS = """() => {
  const channel = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => sum + w * channel(rgb[i] / 255), 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility() && !e.disabled)
    .filter((e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((e) => {
      const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 40)];
    });
}"""


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_both_themes_are_legible_and_fit_the_screen(
    browser: Any, service: str, tmp_path: Path, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 800}
    watched = Watched(browser, service, viewport=size, color_scheme=scheme, reduced_motion="reduce")
    watched.page.wait_for_selector("#model")
    seen = 0
    for path in (street(tmp_path / "street.wav"), horn(tmp_path / "horn.wav"), silence_and_text(tmp_path)):
        watched.listen_to(path)
        contrasts = watched.page.evaluate(CONTRASTS)
        seen += len(contrasts)
        assert [(round(ratio, 2), text) for ratio, text in contrasts if ratio < 4.5] == []
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen > 50
    watched.context.close()


def silence_and_text(folder: Path) -> Path:
    """A file that is refused: its name is long and without a place to break it."""
    path = folder / ("a" * 120 + ".wav")
    path.write_text("no sound\n" * 40)
    return path


# ---- a service that wants a token


@needs_browser
def test_a_token_is_asked_for_only_when_the_service_wants_one(
    browser: Any, tiny_model_path: Path, tmp_path: Path
) -> None:
    with running(tmp_path / "home", tiny_model_path, {}, EARSHOT_TOKEN="open sesame") as server:
        watched = Watched(browser, f"{server.url}/")
        watched.page.wait_for_selector("#token-form")
        assert watched.page.evaluate("document.activeElement.id") == "token"
        watched.choose(hiss(tmp_path / "tap.wav"))
        watched.page.wait_for_selector("#token-form")
        watched.page.fill("#token", "open barley")
        watched.page.keyboard.press("Enter")
        watched.page.wait_for_selector("#error:has-text('Bearer')")
        watched.page.fill("#token", "open sesame")
        watched.page.keyboard.press("Enter")
        watched.page.wait_for_selector("#headline:has-text('Hiss')")  # the file is sent again by itself
        watched.page.wait_for_selector("#model:has-text('whistle')")
        assert not watched.shown("#token-form")
        assert not watched.shown("#error")
        watched.context.close()


# ---- without a browser


def test_the_page_names_no_other_host() -> None:
    namespaces = {"http://www.w3.org/2000/svg"}  # a name, never fetched
    for path in PAGE.iterdir():
        found = set(re.findall(r"""(?:https?:)?//[a-z][\w.-]*\.[a-z]{2,}[^\s"'<>]*""", path.read_text("utf-8")))
        assert found <= namespaces, path.name
