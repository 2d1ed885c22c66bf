"""Files as they are found: every promised format, and files that are joined, damaged, unfinished or piped.

The oracle of what a whole file holds is the command `ffmpeg`, which also writes most of them. Every sound is a hum
whose last half second is a whistle, so that an early end and a shifted time are both heard.
"""

import io
import os
import random
import shutil
import struct
import subprocess
import threading
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from earshot.hearing import riff
from earshot.hearing.decode import (
    AudioLimitError,
    AudioLimits,
    Decoded,
    UndecodableError,
    decode,
    describe_content,
    read_mono,
    stream_mono,
)
from earshot.hearing.mpeg import read_frames
from earshot.hearing.notes import Notes
from earshot.hearing.ogg import read_pages
from earshot.hearing.signatures import CONVERT, decoders
from sounds import awkward_files, noise, wav

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the oracle, the command ffmpeg, is missing")

RATE = 44_100
WHISTLE_HZ = 1_500.0
SECONDS = 3.0


def run_ffmpeg(*arguments: object, stdin: bytes = b"") -> bytes:
    command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False).stdout


def hum_and_whistle(seconds: float = SECONDS, whistle_at_s: tuple[float, ...] = ()) -> np.ndarray:
    """A hum of 300 Hz, and a whistle for half a second at the end and at other times: float64 (samples,)."""
    time_s = np.arange(round(seconds * RATE)) / RATE
    sound = 0.1 * np.sin(2 * np.pi * 300 * time_s) + 0.002 * noise(len(time_s), seed=1)[:, 0]
    for begin_s in (*whistle_at_s, seconds - 0.5):
        there = (time_s >= begin_s) & (time_s < begin_s + 0.5)
        sound[there] += 0.4 * np.sin(2 * np.pi * WHISTLE_HZ * time_s[there])
    return sound


def whistles_s(decoded: Decoded) -> list[tuple[float, float]]:
    """When there is whistling, to a hundredth of a second."""
    rate_hz = decoded.info.sample_rate_hz
    mono = decoded.samples.mean(axis=1)
    size = rate_hz // 100
    hops = mono[: len(mono) // size * size].reshape(-1, size)
    wave = np.exp(-2j * np.pi * WHISTLE_HZ * np.arange(size) / rate_hz)
    loud = np.abs(hops @ wave) / size > 0.08
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
    spans = [(begin / 100, end / 100) for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    return [(begin, end) for begin, end in spans if end - begin > 0.1]


def seconds_of(decoded: Decoded) -> float:
    return len(decoded.samples) / decoded.info.sample_rate_hz


def seconds_by_ffmpeg(path: Path) -> float:
    heard = run_ffmpeg("-i", path, "-vn", "-ac", 1, "-ar", 16_000, "-f", "f32le", "-")
    return len(heard) / 4 / 16_000


def reasons(decoded: Decoded) -> list[str]:
    return [note.reason for note in decoded.notes]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.wav"
    soundfile.write(path, hum_and_whistle(), RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """Ten seconds, which whistle from 2 s, from 7 s and at the end."""
    path = tmp_path_factory.mktemp("base") / "long.wav"
    soundfile.write(path, hum_and_whistle(10.0, (2.0, 7.0)), RATE, subtype="PCM_16")
    return path


def encoded(source: Path, path: Path, *options: object) -> Path:
    run_ffmpeg("-i", source, *options, path)
    assert path.stat().st_size > 1_000
    return path


# --- every format that is promised

PROMISED = {
    "wav": (),
    "bw64.wav": ("-rf64", "always"),
    "g726.wav": ("-ar", 8_000, "-ac", 1, "-c:a", "g726"),
    "w64": (),
    "aiff": (),
    "au": (),
    "voc": ("-c:a", "pcm_s16le"),
    "caf": (),
    "alac.caf": ("-c:a", "alac"),
    "flac": (),
    "ogg": ("-c:a", "libvorbis"),
    "opus": (),
    "flac.ogg": ("-c:a", "flac"),
    "speex.ogg": ("-c:a", "libspeex", "-ar", 16_000),
    "mp3": (),
    "mp2": (),
    "aac": (),
    "ac3": (),
    "eac3": (),
    "m4a": (),
    "alac.m4a": ("-c:a", "alac"),
    "mov": ("-c:a", "pcm_s16le"),
    "3gp": ("-c:a", "aac", "-f", "3gp"),
    "webm": (),
    "mka": (),
    "wma": (),
    "wv": (),
    "tta": (),
    "avi": (),
    "ts": (),
    "m2ts": ("-mpegts_m2ts_mode", 1),
    "mpg": (),
    "flv": ("-ar", 44_100),
}


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_format_is_heard_as_ffmpeg_hears_it(base, tmp_path, name):
    path = encoded(base, tmp_path / f"a.{name}", *PROMISED[name])
    if name == "bw64.wav":  # FFmpeg writes the same as RF64
        path.write_bytes(b"BW64" + path.read_bytes()[4:])
    decoded = decode(path)
    assert seconds_of(decoded) == pytest.approx(seconds_by_ffmpeg(path), abs=0.05)
    (last,) = whistles_s(decoded)
    assert last[0] == pytest.approx(SECONDS - 0.5, abs=0.06)
    assert last[1] == pytest.approx(seconds_of(decoded), abs=0.1)
    assert decoded.notes == ()
    assert np.array_equal(decode(io.BytesIO(path.read_bytes())).samples, decoded.samples)


def test_adts_behind_a_tag_with_a_picture(base, tmp_path):
    plain = encoded(base, tmp_path / "plain.aac").read_bytes()
    size = 200_000
    tag = b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
    tagged = decode(io.BytesIO(tag + plain))
    assert np.array_equal(tagged.samples, decode(io.BytesIO(plain)).samples)
    assert tagged.notes == ()


def test_amr_wb_is_what_ffmpeg_decodes(tmp_path):
    """No encoder is at hand: frames of random bits at 23.85 kbit/s decode to noise, the same in both."""
    bits = random.Random(1)
    path = tmp_path / "voice.awb"
    path.write_bytes(b"#!AMR-WB\n" + b"".join(b"\x44" + bits.randbytes(60) for _ in range(150)))
    decoded = decode(path)
    assert (decoded.info.sample_rate_hz, seconds_of(decoded)) == (16_000, pytest.approx(3.0, abs=0.05))
    expected = np.frombuffer(run_ffmpeg("-i", path, "-f", "f32le", "-"), np.float32)
    assert np.corrcoef(decoded.samples[:, 0], expected[: len(decoded.samples)])[0, 1] > 0.999


@pytest.mark.parametrize("form", ["wav", "flac", "caf", "aiff", "w64", "au", "ogg", "matroska", "mp4"])
def test_what_ffmpeg_writes_into_a_pipe_is_read(base, tmp_path, form):
    options = {"mp4": ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov")}.get(form, ())
    path = tmp_path / "piped"
    path.write_bytes(run_ffmpeg("-i", base, *options, "-f", form, "-"))
    decoded = decode(path)
    assert seconds_of(decoded) == pytest.approx(SECONDS, abs=0.06)
    assert len(whistles_s(decoded)) == 1
    assert decoded.info.frames < 1e6, "a length that is not known is no length"


def test_what_cannot_be_decoded_is_named_with_the_remedy():
    with pytest.raises(UndecodableError, match="RealMedia") as refusal:
        decode(io.BytesIO(b".RMF" + bytes(5_000)))
    assert CONVERT in str(refusal.value)
    form = b'------x\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nID3'
    assert "multipart form" in describe_content(form)
    with pytest.raises(UndecodableError, match=r"multipart form.*Content-Type"):
        decode(io.BytesIO(form))


# --- sizes in WAV headers


def wav_with(size: int | None, tail: bytes = b"") -> bytes:
    content = wav(hum_and_whistle()[:, None], RATE, "PCM_16").getvalue()
    at = content.index(b"data")
    if size is not None:
        content = content[: at + 4] + struct.pack("<I", size) + content[at + 8 :]
    return content + tail


@pytest.mark.parametrize("size", [0, 10_000, 100_000])
def test_a_wav_whose_size_is_wrong_is_heard_to_its_end(size):
    decoded = decode(io.BytesIO(wav_with(size)))
    assert np.array_equal(decoded.samples, decode(io.BytesIO(wav_with(None))).samples)
    assert reasons(decoded) == ["size"]
    assert "end of the file" in decoded.notes[0].message


def test_chunks_and_padding_behind_the_sound_are_no_sound():
    whole = decode(io.BytesIO(wav_with(None))).samples
    listed = b"LIST" + struct.pack("<I", 40_000) + b"INFO" + bytes(39_996)
    for tail in (listed, listed + listed, bytes(100_000), b"\0" * 8, b"TAG" + b"x" * 125):
        decoded = decode(io.BytesIO(wav_with(None, tail)))
        assert np.array_equal(decoded.samples, whole)
        assert decoded.notes == ()


def test_a_wav_that_is_cut_off_says_so():
    decoded = decode(io.BytesIO(wav_with(None)[:100_000]))
    assert reasons(decoded) == ["truncated"]
    assert "38%" in decoded.notes[0].message
    assert reasons(decode(io.BytesIO(wav_with(0xFFFFFFFF)))) == [], "a writer to a pipe promises nothing"


def sparse_wav(path: Path, block_align: int, rate_hz: int, channels: int, bits: int, sound_bytes: int) -> None:
    """A float WAV of zeros whose size wraps around, with one as its last samples; it takes no space on disk."""
    form = struct.pack("<HHIIHH", 3, channels, rate_hz, rate_hz * block_align, block_align, bits)
    size = struct.pack("<I", sound_bytes % 2**32)
    with path.open("wb") as file:
        file.write(b"RIFF" + size + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + size)
        file.truncate(44 + sound_bytes - block_align)
        file.seek(0, os.SEEK_END)
        file.write(np.ones(channels, f"<f{bits // 8}").tobytes())


def test_a_size_beyond_4_gib_is_known_by_the_length_of_the_file(tmp_path):
    path = tmp_path / "long.wav"
    sound_bytes = 2**32 + 4 * 300_000
    sparse_wav(path, 4, 48_000, 1, 32, sound_bytes)
    with path.open("rb") as stream:
        notes = Notes()
        extent = riff.wav_extent(stream, notes)
    assert (extent.unreliable, extent.end) == (True, 44 + sound_bytes)
    assert "4 GiB" in notes.all()[0].message


@pytest.mark.full
def test_a_wav_beyond_4_gib_is_heard_to_its_last_sample(tmp_path):
    path = tmp_path / "long.wav"
    channels, rate_hz = 32, 384_000
    align = 8 * channels
    frames = (2**32 + 10_000_000) // align
    sparse_wav(path, align, rate_hz, channels, 64, frames * align)
    heard, last = 0, np.zeros(1)
    for block in stream_mono(path, rate_hz):
        heard, last = heard + len(block), block
    assert heard == frames
    assert last[-1] == 1


# --- joined files


@pytest.mark.parametrize("name", ["wav", "ogg", "opus", "mp3", "flac", "aac", "mp2", "ac3"])
def test_joined_files_are_heard_whole(base, tmp_path, name):
    options = PROMISED.get(name, ())
    one = encoded(base, tmp_path / f"one.{name}", *options).read_bytes()
    for times in (2, 3):
        path = tmp_path / f"joined{times}.{name}"
        path.write_bytes(one * times)
        decoded = decode(path)
        if name == "wav":  # FFmpeg hears the first
            assert seconds_of(decoded) == times * SECONDS
        elif name == "flac":  # FFmpeg 5.1 loses the frames around each seam
            assert seconds_of(decoded) == pytest.approx(times * SECONDS, abs=0.05)
        else:
            assert seconds_of(decoded) == pytest.approx(seconds_by_ffmpeg(path), abs=0.05)
        found = whistles_s(decoded)
        assert len(found) == times
        for number, (begin_s, _) in enumerate(found, start=1):
            assert begin_s == pytest.approx(number * seconds_of(decoded) / times - 0.5, abs=0.12)


def test_a_joined_wav_of_another_format_is_named():
    other = wav(noise(5_000, 2), 8_000).getvalue()
    decoded = decode(io.BytesIO(wav_with(None) + other))
    assert seconds_of(decoded) == SECONDS
    assert reasons(decoded) == ["joined"]
    assert "3.00 s" in decoded.notes[0].message


def test_joined_ogg_files_of_another_rate_are_named(base, tmp_path):
    first = encoded(base, tmp_path / "a.ogg", "-c:a", "libvorbis").read_bytes()
    second = encoded(base, tmp_path / "b.ogg", "-c:a", "libvorbis", "-ar", 22_050, "-ac", 2).read_bytes()
    decoded = decode(io.BytesIO(first + first + second))
    assert seconds_of(decoded) == pytest.approx(2 * SECONDS, abs=0.05)
    assert reasons(decoded) == ["joined"]


# --- damage


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


def with_hole(content: bytes, at: int, size: int = 2_048) -> bytes:
    return content[:at] + bytes(size) + content[at + size :]


DAMAGED = {  # name: options, how, longest stretch that may be lost
    "flac": ((), flipped, 0.6),
    "hole.flac": ((), with_hole, 0.7),
    "mp3": ((), with_hole, 0.5),
    "m4a": ((), with_hole, 0.5),
    "aac": ((), with_hole, 0.5),
    "ac3": ((), with_hole, 0.4),
    "ogg": (("-c:a", "libvorbis", "-page_duration", 200_000), with_hole, 1.3),
    "opus": (("-page_duration", 200_000), with_hole, 0.8),
    "ts": ((), with_hole, 0.5),
    "wma": ((), with_hole, 0.7),
    "mka": (("-c:a", "libopus", "-cluster_time_limit", 500), with_hole, 1.3),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_lies_before_and_after_damage_is_heard_at_its_time(long, tmp_path, name):
    options, damage, lost_s = DAMAGED[name]
    path = encoded(long, tmp_path / f"a.{name}", *options)
    whole = decode(path)
    content = path.read_bytes()
    path.write_bytes(damage(content, round(0.45 * len(content))))
    decoded = decode(path)
    assert seconds_of(decoded) == pytest.approx(seconds_of(whole), abs=0.05)
    expected, found = whistles_s(whole), whistles_s(decoded)
    assert len(expected) == len(found) == 3
    for there, here in zip(expected, found, strict=True):
        assert here[0] == pytest.approx(there[0], abs=0.05)
    note = next(note for note in decoded.notes if note.start_s is not None)
    # ASF and Matroska are read on from behind the damage, and only the time stamps tell that something is missing.
    assert note.reason == ("gap" if name in ("wma", "mka") else "damaged")
    assert 2.5 < note.start_s < note.end_s < 7.0
    assert note.end_s - note.start_s <= lost_s
    assert f"{note.start_s:.2f}" in note.message
    silent = decoded.samples[round((note.start_s + 0.01) * RATE) : round((note.end_s - 0.01) * RATE)]
    assert seconds_of(decoded) > 9
    assert np.abs(silent).max() < 1.0, "no burst of noise stands in the place of what is lost"


def test_a_lossless_file_loses_nothing_before_the_damage(long, tmp_path):
    path = encoded(long, tmp_path / "a.flac")
    whole, content = decode(path).samples, path.read_bytes()
    damaged = decode(io.BytesIO(flipped(content, len(content) // 2)))
    note = damaged.notes[0]
    assert len(damaged.samples) == len(whole)
    before, after = round(note.start_s * RATE), round(note.end_s * RATE)
    assert np.array_equal(damaged.samples[:before], whole[:before])
    assert np.array_equal(damaged.samples[after:], whole[after:])
    assert not damaged.samples[before:after].any()


@pytest.mark.parametrize("name", ["flac", "mp3", "aac", "opus", "webm"])
def test_a_file_that_is_cut_off_is_heard_to_there(long, tmp_path, name):
    path = encoded(long, tmp_path / f"a.{name}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    decoded = decode(path)
    assert seconds_of(decoded) == pytest.approx(seconds_by_ffmpeg(path), abs=0.05)
    assert round(whistles_s(decoded)[0][0], 1) == 2.0
    if name != "aac":  # it counts nothing
        assert "truncated" in reasons(decoded)


def test_an_mp4_without_its_index_is_named(long, tmp_path):
    path = encoded(long, tmp_path / "a.m4a")
    with pytest.raises(UndecodableError, match="before its index"):
        decode(io.BytesIO(path.read_bytes()[:20_000]))


def test_damage_everywhere_ends_in_a_few_notes(long, tmp_path):
    content = bytearray(encoded(long, tmp_path / "a.mp3", "-b:a", "320k").read_bytes())
    for at in range(8_000, len(content), 8_000):
        content[at : at + 1_044] = bytes(1_044)
    decoded = decode(io.BytesIO(bytes(content)))
    assert len(decoded.notes) <= 21
    assert "more stretches" in decoded.notes[-1].message


@pytest.mark.parametrize(
    ("name", "junk"),
    [
        ("ogg", (b"OggS\0" + b"\xff" * 277) * 10_000),
        ("ogg", b"OggS\0" * 300_000),
        ("mp3", b"\xff\xfb\x90" * 1_000_000),
        ("mp3", b"\xff" * 3_000_000),
        ("aac", b"\xff\xf1" * 500_000),
    ],
)
def test_junk_that_looks_like_frames_is_not_searched_for_ever(base, tmp_path, name, junk):
    options = ("-c:a", "libvorbis") if name == "ogg" else ()
    content = encoded(base, tmp_path / f"a.{name}", *options).read_bytes()
    decoded = decode(io.BytesIO(content[: len(content) // 2] + junk))
    assert 0.5 < seconds_of(decoded) < SECONDS


# --- time that is missing


def without_packets(source: bytes, container: str, begin_s: float, end_s: float) -> io.BytesIO:
    """The same file as a recorder makes it that lost the packets of a while: time stamps go on behind it."""
    stream = io.BytesIO()
    options = (
        {"page_duration": "100000"} if container == "ogg" else {}
    )  # within a page nobody knows where time is missing
    with av.open(io.BytesIO(source)) as whole, av.open(stream, "w", format=container, options=options) as output:
        sound = whole.streams.audio[0]
        start = max(0, sound.start_time or 0)
        track = output.add_stream_from_template(sound)
        for packet in whole.demux(sound):
            if packet.dts is not None and not begin_s <= (packet.pts - start) * packet.time_base < end_s:
                packet.stream = track
                output.mux(packet)
    stream.seek(0)
    return stream


@pytest.mark.parametrize(
    ("name", "container"),
    [("webm", "webm"), ("opus", "ogg"), ("ogg", "ogg"), ("m4a", "ipod"), ("mka", "matroska"), ("ts", "mpegts")],
)
def test_silence_stands_where_time_is_missing(long, tmp_path, name, container):
    options = ("-c:a", "libvorbis") if name in ("ogg", "mka") else ()
    path = encoded(long, tmp_path / f"a.{name}", *options)
    decoded = decode(without_packets(path.read_bytes(), container, 4.0, 6.0))
    assert seconds_of(decoded) == pytest.approx(10.0, abs=0.1)
    assert [round(begin_s, 1) for begin_s, _ in whistles_s(decoded)] == [2.0, 7.0, 9.5]
    (note,) = decoded.notes
    assert (note.reason, note.start_s, note.end_s) == ("gap", pytest.approx(4.0, abs=0.3), pytest.approx(6.0, abs=0.3))
    rate_hz = decoded.info.sample_rate_hz
    assert np.abs(decoded.samples[round(4.4 * rate_hz) : round(5.6 * rate_hz)]).max() < 0.01


def test_a_few_lost_packets_shift_nothing(long, tmp_path):
    """A packet of 20 ms lost now and then: the times stay true to a twentieth of a second."""
    content = encoded(long, tmp_path / "a.webm").read_bytes()
    for begin_s in np.arange(0.5, 6.9, 0.2):
        content = without_packets(content, "webm", begin_s, begin_s + 0.02).getvalue()
    begins_s = [begin_s for begin_s, _ in whistles_s(decode(io.BytesIO(content)))]
    assert begins_s[-1] == pytest.approx(9.5, abs=0.05)


def test_missing_time_counts_for_the_limit(long, tmp_path):
    gap = without_packets(encoded(long, tmp_path / "a.webm").read_bytes(), "webm", 3.0, 9.0)
    assert seconds_of(decode(gap, AudioLimits(max_duration_s=10.1))) > 9.9
    with pytest.raises(AudioLimitError, match="longer than the 8 s"):
        read_mono(gap, 22_050, AudioLimits(max_duration_s=8.0))


# --- pipes


def test_a_pipe_is_read_like_a_file(base, tmp_path):
    for name in ("wav", "m4a", "mp3", "flac"):
        content = encoded(base, tmp_path / f"a.{name}").read_bytes()
        expected = read_mono(io.BytesIO(content), 22_050)
        reading, writing = os.pipe()

        def write(data: bytes = content, into: int = writing) -> None:
            with open(into, "wb") as pipe:
                pipe.write(data)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            assert np.array_equal(read_mono(f"/dev/fd/{reading}", 22_050), expected)
        finally:
            os.close(reading)
            thread.join()


def test_a_folder_and_a_broken_pipe_are_named(tmp_path):
    with pytest.raises(UndecodableError, match="directory"):
        decode(tmp_path)
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(UndecodableError, match="an empty file"):
        decode(f"/dev/fd/{reading}")
    os.close(reading)


# --- what is ordinary stays as it is


def test_ordinary_files_have_no_notes_and_their_usual_decoder(tmp_path):
    for path in awkward_files(tmp_path):
        decoded = decode(path)
        assert decoded.notes == (), path.name
        head = path.read_bytes()[:4_096]
        assert decoders(head).libsndfile == (decoded.info.container not in ("MOV", "MATROSKA", "AAC")), path.name


def test_frames_and_pages_of_ordinary_files_are_whole(base, tmp_path):
    for name in ("mp3", "aac", "ac3", "eac3", "mp2"):
        for options in ((), ("-ar", 22_050), ("-ar", 48_000, "-ac", 2)):
            if name in ("ac3", "eac3") and 22_050 in options:
                continue
            with encoded(base, tmp_path / f"a.{name}", *options).open("rb") as stream:
                chain = read_frames(stream, "mp3" if name == "mp2" else name)
            assert (chain.whole, chain.missing) == (True, ()), (name, options)
    for name, options in (("ogg", ("-c:a", "libvorbis")), ("opus", ()), ("flac.ogg", ("-c:a", "flac"))):
        with encoded(base, tmp_path / f"a.{name}", *options).open("rb") as stream:
            assert read_pages(stream).whole, name
