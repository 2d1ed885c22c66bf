"""Decoding, mixing and resampling, against the signals that went into the files."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from earshot.hearing import sndfile
from earshot.hearing.clip import fit_length
from earshot.hearing.decode import (
    AudioError,
    AudioLimitError,
    AudioLimits,
    NoAudioError,
    UndecodableError,
    decode,
    describe_content,
    read_mono,
    stream_mono,
)
from sounds import EXACT, FFMPEG, LOSSY, awkward_files, ffmpeg, noise, tone, wav

RATE = 22_050


def amplitude(samples: np.ndarray, frequency_hz: float, rate_hz: int) -> float:
    """Amplitude of a sine in `samples`, by projection; independent of its phase and of a codec's delay."""
    time_s = np.arange(len(samples)) / rate_hz
    window = np.hanning(len(samples))
    return 2 * abs(np.sum(samples * window * np.exp(-2j * np.pi * frequency_hz * time_s))) / window.sum()


# --- decoding


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "subtype", "tolerance"), EXACT)
def test_uncompressed_and_lossless_files_give_back_the_samples(container, subtype, tolerance, channels):
    sound = noise(50_000, channels)
    decoded = decode(wav(sound, 44_100, subtype, container))
    assert decoded.samples.dtype == np.float32
    assert decoded.samples.shape == (50_000, channels)
    assert np.abs(decoded.samples - sound).max() <= tolerance
    assert (decoded.info.codec, decoded.info.channels, decoded.info.sample_rate_hz) == (subtype, channels, 44_100)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "subtype"), LOSSY)
def test_lossy_files_give_back_the_tone_in_every_channel(container, subtype, channels):
    samples = decode(wav(tone(48_000, channels=channels), 48_000, subtype, container)).samples
    tolerance = 0.1 if container == "MP3" else 0.02  # the MP3 encoder turns the level down
    assert samples.dtype == np.float32
    for channel, level in zip(range(channels), (0.3, 0.6), strict=False):
        assert amplitude(samples[:, channel], 440, 48_000) == pytest.approx(level, rel=tolerance)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "codec"), FFMPEG)
def test_files_of_phones_and_browsers_give_back_the_tone(container, codec, channels):
    decoded = decode(ffmpeg(tone(48_000, channels=channels), 48_000, container, codec))
    assert decoded.info.sample_rate_hz == 48_000
    assert decoded.samples.dtype == np.float32
    for channel, level in zip(range(channels), (0.3, 0.6), strict=False):
        assert amplitude(decoded.samples[:, channel], 440, 48_000) == pytest.approx(level, rel=0.05)


@pytest.mark.parametrize("duration_s", [0.3, 0.55, 0.65, 0.71, 0.9, 1.3])
def test_a_short_voice_message_is_read_whole(duration_s):
    """Libsndfile refuses some Opus files of less than a second."""
    samples = tone(48_000, 440.0, duration_s)
    heard = read_mono(ffmpeg(samples, 48_000, "ogg", "libopus"), 48_000)
    assert len(heard) == pytest.approx(len(samples), abs=0.03 * 48_000)
    middle = heard[len(heard) // 4 : -len(heard) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 48_000 / len(middle) == pytest.approx(440, abs=10)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_24_bit_wav_equals_libsndfile_bit_for_bit(channels):
    # Longer than a block, of all bytes, with a chunk before the samples, in each container that takes the fast way.
    values = np.random.default_rng(channels).integers(-(2**23), 2**23, (40_001, channels), dtype=np.int32) << 8
    for container in ("WAV", "WAVEX"):
        stream = wav(values, 48_000, "PCM_24", container)
        expected = soundfile.read(stream, dtype="float32", always_2d=True)[0]
        assert np.array_equal(decode(stream).samples, expected)
        assert np.array_equal(decode(io.BytesIO(with_list_chunk(stream.getvalue()))).samples, expected)


def with_list_chunk(content: bytes) -> bytes:
    """The same WAV with a chunk of text before its samples, as recorders write it."""
    at = content.index(b"data")
    grown = content[:at] + b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0" + content[at:]
    return grown[:4] + struct.pack("<I", len(grown) - 8) + grown[8:]


def test_24_bit_samples_padded_to_four_bytes_are_not_misread():
    sound = noise(4_000)[:, 0]
    data = (np.round(sound * (2**23 - 1)).astype("<i4") << 8).tobytes()
    extensible = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 48_000, 192_000, 4, 32, 22, 24, 4)
    extensible += bytes.fromhex("0100000000001000800000aa00389b71")
    content = b"WAVEfmt " + struct.pack("<I", len(extensible)) + extensible + b"data" + struct.pack("<I", len(data))
    file = io.BytesIO(b"RIFF" + struct.pack("<I", len(content) + len(data)) + content + data)
    assert np.abs(decode(file).samples[:, 0] - sound).max() < 2**-22


def test_a_truncated_24_bit_wav_gives_the_samples_that_are_there():
    content = wav(noise(10_000, 2), 48_000, "PCM_24").getvalue()
    cut = content[: len(content) // 2 + 1]
    expected = soundfile.read(io.BytesIO(cut), dtype="float32", always_2d=True)[0]
    assert 4_900 < len(expected) < 5_000
    assert np.array_equal(decode(io.BytesIO(cut)).samples, expected)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_mono_is_the_mean_of_the_channels(channels):
    for subtype in ("PCM_16", "PCM_24", "FLOAT"):
        stream = wav(noise(30_000, channels), RATE, subtype)
        expected = soundfile.read(stream, dtype="float64", always_2d=True)[0].mean(axis=1)
        assert np.abs(read_mono(stream, RATE) - expected).max() < 1e-7


def test_sixteen_bits_decoded_as_integers_equal_the_float_decoder():
    # Decoded as int16 and scaled once; soundfile's own conversion to float32 is the other way to the same numbers.
    stream = wav(noise(30_000, 2), RATE, "PCM_16")
    expected = soundfile.read(stream, dtype="float32")[0]
    assert np.array_equal(decode(stream).samples, expected)
    assert np.allclose(read_mono(stream, RATE), expected.mean(axis=1), rtol=0, atol=2**-24)


def test_full_scale_does_not_overflow_in_the_mix():
    for subtype in ("PCM_16", "PCM_24"):
        loud = np.full((1_000, 2), -1.0)
        assert np.array_equal(read_mono(wav(loud, RATE, subtype), RATE), np.full(1_000, -1, np.float32))


# --- channels that cancel


def in_antiphase(seconds: int, rate_hz: int = RATE) -> np.ndarray:
    """A tone in one channel, and the same, inverted and a little weaker, in the other."""
    sine = tone(rate_hz, 440, seconds)
    return np.hstack([sine, -0.95 * sine]) + noise(len(sine), 2, level=1e-3)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_channels_that_cancel_leave_the_louder_one(subtype):
    sound = in_antiphase(3)
    stream = stream_mono(wav(sound, RATE, subtype), RATE)
    heard = np.concatenate(list(stream))
    assert np.abs(heard - sound[:, 0]).max() < 2**-14
    (note,) = stream.notes
    assert note.reason == "channels"
    assert "channel 1 is heard alone" in note.message


def test_from_the_second_on_in_which_channels_cancel_one_is_heard():
    sound = np.concatenate([np.zeros((RATE, 2)), noise(RATE, 2), in_antiphase(2), noise(RATE, 2, seed=1)])
    stream = stream_mono(wav(sound, RATE), RATE)
    heard = np.concatenate(list(stream))
    assert np.array_equal(heard[: 2 * RATE], sound[: 2 * RATE].astype(np.float32).mean(axis=1))
    assert np.array_equal(heard[2 * RATE :], sound[2 * RATE :, 0].astype(np.float32))
    assert "from 2 s on" in stream.notes[0].message


@pytest.mark.parametrize("block_samples", [1_000, 4_096, 77_777])
def test_which_channel_is_heard_does_not_depend_on_blocks(monkeypatch, block_samples):
    for subtype in ("PCM_16", "PCM_24", "FLOAT"):
        file = wav(np.concatenate([noise(30_000, 2), in_antiphase(2)]), RATE, subtype)
        whole = read_mono(file, RATE)
        monkeypatch.setattr(sndfile, "BLOCK_SAMPLES", block_samples)
        assert np.array_equal(read_mono(file, RATE), whole)
        monkeypatch.undo()


def test_a_wide_stereo_sound_stays_a_mix():
    left, right = noise(2 * RATE), noise(2 * RATE, seed=1)
    for sound in (
        np.hstack([left, right]),
        np.hstack([left, 0 * left]),
        np.hstack([left, -0.5 * left]),
        noise(RATE, 32),
    ):
        stream = stream_mono(wav(sound, RATE), RATE)
        heard = np.concatenate(list(stream))
        assert np.abs(heard - sound.mean(axis=1)).max() < 1e-6
        assert stream.notes == ()


# --- resampling


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_a_sine_below_the_band_edge_comes_out_as_itself(rate_hz):
    # The analytic sine at the new rate: checks gain, timing and the absence of images at once.
    for share in (0.01, 0.3, 0.6, 0.8, 0.9):
        frequency_hz = share * min(rate_hz, RATE) / 2
        out = read_mono(wav(tone(rate_hz, frequency_hz, 1.5), rate_hz), RATE)
        expected = tone(RATE, frequency_hz, 2)[: len(out), 0]
        middle = slice(2_000, -2_000)
        assert len(out) == pytest.approx(1.5 * RATE, abs=1)
        assert np.abs(out[middle] - expected[middle]).max() < 0.3 * 2e-3
        gain_db = 20 * np.log10(np.std(out[middle]) / np.std(expected[middle]))
        assert abs(gain_db) < 0.02


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 96_000])
def test_what_lies_above_half_the_new_rate_is_gone(rate_hz):
    for frequency_hz in (11_100.0, 12_000.0, 16_500.0, 21_000.0):
        out = read_mono(wav(tone(rate_hz, frequency_hz, 1.0), rate_hz), RATE)[2_000:-2_000]
        assert 20 * np.log10(np.std(out) / (0.3 / np.sqrt(2))) < -120


def test_resampling_agrees_with_another_resampler():
    rate_hz = 48_000
    band_limited = scipy.signal.firwin(511, 4_000, fs=rate_hz)  # far from the band edge, where filters may differ
    sound = scipy.signal.lfilter(band_limited, 1, noise(rate_hz, seed=3)[:, 0])
    expected = scipy.signal.resample_poly(sound, 147, 320, window=("kaiser", 14.0))
    out = read_mono(wav(sound, rate_hz), RATE)
    middle = slice(2_000, -2_000)
    error = np.std(out[middle] - expected[: len(out)][middle]) / np.std(expected[middle])
    assert 20 * np.log10(error) < -60


# --- streams and sources


@pytest.mark.parametrize("block_samples", [1_000, 4_096, 77_777])
def test_blocks_of_any_size_hold_the_same_samples(tmp_path, monkeypatch, block_samples):
    for path in awkward_files(tmp_path):
        whole = read_mono(path, RATE)
        monkeypatch.setattr(sndfile, "BLOCK_SAMPLES", block_samples)
        assert np.array_equal(np.concatenate(list(stream_mono(path, RATE))), whole), path.name
        monkeypatch.undo()


def test_a_lossy_file_of_many_blocks_equals_one_read_of_it_all():
    # MP3 and Opus decoders that are made to seek between blocks lose their state and answer otherwise.
    for container, subtype in LOSSY:
        stream = wav(noise(200_000, 2), 48_000, subtype, container)
        expected = soundfile.read(stream, dtype="float32")[0]
        assert len(expected) * 2 > 5 * sndfile.BLOCK_SAMPLES
        assert np.array_equal(decode(stream).samples, expected), subtype


def test_a_path_a_file_and_bytes_in_memory_give_the_same_samples(tmp_path):
    for path in awkward_files(tmp_path):
        expected = decode(path).samples
        assert len(expected) > 1_000
        assert np.array_equal(decode(str(path)).samples, expected)
        assert np.array_equal(decode(io.BytesIO(path.read_bytes())).samples, expected)
        with path.open("rb") as stream:
            stream.seek(17)
            assert np.array_equal(decode(stream).samples, expected)


def test_a_block_stays_as_it_was_when_the_next_one_comes():
    sound = noise(200_000)[:, 0].astype(np.float32)
    for rate_hz in (RATE, 2 * RATE):
        blocks, copies = [], []
        for block in stream_mono(wav(sound, rate_hz), RATE):
            blocks.append(block)
            copies.append(block.copy())
        assert len(blocks) > 2
        assert all(np.array_equal(block, copy) for block, copy in zip(blocks, copies, strict=True))


def test_the_content_decides_and_not_the_name(tmp_path):
    sound = noise(5_000)[:, 0]
    for name in ("x.raw", "x.wav", "x.mp3", "x.m4a", "x", "x.txt"):
        (tmp_path / name).write_bytes(wav(sound, RATE, "PCM_16", "FLAC").getvalue())
        assert decode(tmp_path / name).info.container == "FLAC"
        assert len(read_mono(tmp_path / name, RATE)) == 5_000


def test_no_file_stays_open(tmp_path):
    good = awkward_files(tmp_path)
    (tmp_path / "bad.wav").write_bytes(b"RIFF\x24\0\0\0WAVEjunk")
    (tmp_path / "bad.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(200))
    before = len(os.listdir("/proc/self/fd"))
    for path in good:
        read_mono(path, RATE)
        next(stream_mono(path, RATE)).sum()  # left after its first block
    for name in ("bad.wav", "bad.m4a", "absent.wav"):
        with pytest.raises(UndecodableError):
            read_mono(tmp_path / name, RATE)
    assert len(os.listdir("/proc/self/fd")) == before


# --- refusals


def picture() -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100)


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a.wav", b"nothing")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"this is not a sound, although it is called one\n" * 20, "plain text"),
        (picture(), "PNG"),
        (archive(), "ZIP"),
        (bytes(5_000), "nothing but zero bytes"),
        (bytes(range(128, 256)) * 40, "unknown binary data"),
        (b"#EXTM3U\nhttp://127.0.0.1:9/x.wav\n", "playlist"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "WAV"),
        (b"\0\0\0\x20ftypM4A " + bytes(500), "MP4"),
        (b"\x1aE\xdf\xa3" + bytes(500), "WebM"),
        (b"OggS" + bytes(500), "Ogg"),
    ],
)
def test_what_is_not_audio_is_named(tmp_path, content, words):
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    for source in (path, io.BytesIO(content)):
        with pytest.raises(UndecodableError, match=words) as refusal:
            read_mono(source, RATE)
        assert refusal.value.reason == "undecodable"


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(UndecodableError, match="No such file") as refusal:
        read_mono(tmp_path / "absent.wav", RATE)
    assert refusal.value.reason == "missing"


@pytest.mark.parametrize("container", ["FLAC", "WAV"])
def test_a_file_cut_in_its_header_is_refused(container):
    content = wav(noise(5_000)[:, 0], RATE, "PCM_16", container).getvalue()
    with pytest.raises(UndecodableError, match=container):
        decode(io.BytesIO(content[:20]))


def test_a_damaged_stream_ends_in_an_audio_error_or_in_sound():
    # Bits flipped all over real files: whatever the decoders make of it, nothing else than AudioError gets out.
    random = np.random.default_rng(5)
    sources = [wav(tone(48_000, channels=2), 48_000, s, c).getvalue() for c, s in LOSSY]
    sources += [ffmpeg(tone(48_000, channels=2), 48_000, c, codec).getvalue() for c, codec in FFMPEG]
    sources += [wav(noise(20_000), 48_000, s, c).getvalue() for c, s, _ in EXACT]
    refused = 0
    for content in sources:
        for _ in range(4):
            damaged = np.frombuffer(content, np.uint8).copy()
            at = np.concatenate([random.integers(0, 200, 2), random.integers(0, len(damaged), 30)])
            damaged[at] ^= random.integers(1, 256, len(at)).astype(np.uint8)
            try:
                samples = read_mono(io.BytesIO(damaged.tobytes()), RATE)
            except AudioError:
                refused += 1
            else:
                assert np.isfinite(samples).all()
    assert 0 < refused < 4 * len(sources)


@pytest.mark.parametrize("content", [wav(np.zeros((0, 1)), RATE, "PCM_16"), wav(np.zeros((0, 2)), 48_000, "PCM_24")])
def test_a_file_without_samples_is_refused(content):
    for read in (decode, lambda source: read_mono(source, RATE)):
        with pytest.raises(NoAudioError) as refusal:
            read(content)
        assert refusal.value.reason == "no_samples"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_a_sample_that_is_no_number_is_refused_and_shown_to_the_audit(value, subtype):
    sound = noise(90_000)[:, 0]
    sound[80_000] = value
    stream = wav(sound, 44_100, subtype)
    with pytest.raises(NoAudioError, match="finite") as refusal:
        read_mono(stream, RATE)
    assert refusal.value.reason == "not_finite"
    assert np.count_nonzero(~np.isfinite(decode(stream).samples)) == 1


def test_limits_are_checked_in_the_header():
    sound = noise(RATE)[:, 0]
    with pytest.raises(AudioLimitError, match=r"longer than the 0\.5 s") as refusal:
        read_mono(wav(sound, RATE), RATE, AudioLimits(max_duration_s=0.5))
    assert refusal.value.reason == "too_long"
    with pytest.raises(AudioLimitError, match="3 channels") as refusal:
        read_mono(wav(noise(100, 3), RATE), RATE, AudioLimits(max_channels=2))
    assert refusal.value.reason == "too_many_channels"
    for rate_hz in (1_000, 400_000):
        with pytest.raises(AudioLimitError, match=f"{rate_hz} Hz") as refusal:
            read_mono(wav(sound, rate_hz), RATE)
        assert refusal.value.reason == "sample_rate"
    assert len(read_mono(wav(sound, RATE), RATE, AudioLimits(max_duration_s=1.0))) == RATE


def test_length_is_counted_while_decoding_where_the_header_makes_no_claim():
    stream = ffmpeg(tone(48_000, duration_s=3), 48_000, "adts", "aac")
    assert decode(stream).info.frames == 0
    decoded = []
    with pytest.raises(AudioLimitError) as refusal:
        decoded.extend(stream_mono(stream, RATE, AudioLimits(max_duration_s=1.0)))
    assert refusal.value.reason == "too_long"
    assert sum(map(len, decoded)) <= RATE


def test_a_header_that_promises_hours_costs_no_memory():
    content = bytearray(wav(noise(1_000, 2), RATE, "PCM_24").getvalue())
    at = content.index(b"data")
    content[at + 4 : at + 8] = struct.pack("<I", 0x7FFFFFF0)
    assert len(decode(io.BytesIO(bytes(content))).samples) == 1_000


def test_errors_cross_process_borders_with_their_reason():
    error = NoAudioError("not finite", "not_finite")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.reason) == (NoAudioError, "not finite", "not_finite")
    assert pickle.loads(pickle.dumps(AudioLimitError("long"))).reason == "too_long"


# --- small things


def test_fit_length_cuts_or_appends_zeros():
    sound = np.arange(1, 6, dtype=np.float32)
    assert fit_length(sound, 3).tolist() == [1, 2, 3]
    assert fit_length(sound, 5).tolist() == [1, 2, 3, 4, 5]
    assert fit_length(sound, 7).tolist() == [1, 2, 3, 4, 5, 0, 0]
    assert fit_length(sound, 7).dtype == np.float32


def test_text_in_another_script_is_still_text():
    assert describe_content("Dies ist kein Geräusch. これは音ではない。\n".encode() * 3) == "plain text"
    assert describe_content(Path(__file__).read_bytes()[:4096]) == "plain text"
