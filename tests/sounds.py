"""Sound files for tests: signals with known answers, written by the encoders that users' files come from."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

# What libsndfile writes: container, encoding, worst error of a decoded sample. Lossy codecs are judged by their tone.
EXACT = (
    ("WAV", "PCM_U8", 2**-7),
    ("WAV", "PCM_16", 2**-15),
    ("WAV", "PCM_24", 2**-23),
    ("WAVEX", "PCM_24", 2**-23),
    ("WAV", "PCM_32", 2**-23),
    ("WAV", "FLOAT", 2**-24),
    ("WAV", "DOUBLE", 2**-24),
    ("FLAC", "PCM_16", 2**-15),
    ("FLAC", "PCM_24", 2**-23),
    ("AIFF", "PCM_24", 2**-23),
    ("RF64", "PCM_24", 2**-23),
    ("W64", "PCM_24", 2**-23),
)
LOSSY = (
    ("WAV", "MS_ADPCM"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "ALAW"),
    ("WAV", "ULAW"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)
FFMPEG = (("mp4", "aac"), ("ipod", "aac"), ("3gp", "aac"), ("adts", "aac"), ("webm", "libopus"))


def tone(rate_hz: int, frequency_hz: float = 440.0, duration_s: float = 1.0, channels: int = 1) -> np.ndarray:
    """Sine of amplitude 0.3 (0.6 in a second channel), float64 (samples, channels)."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    sine = np.sin(2 * np.pi * frequency_hz * time_s)
    return np.stack([0.3 * (1 + channel) * sine for channel in range(channels)], axis=1)


def noise(samples: int, channels: int = 1, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Gaussian noise, float64 (samples, channels)."""
    return np.clip(level * np.random.default_rng(seed).standard_normal((samples, channels)), -0.99, 0.99)


def wav(samples: np.ndarray, rate_hz: int, subtype: str = "FLOAT", container: str = "WAV") -> io.BytesIO:
    """The sound as a file in memory."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate_hz, format=container, subtype=subtype)
    stream.seek(0)
    return stream


def ffmpeg(samples: np.ndarray, rate_hz: int, container: str, codec: str) -> io.BytesIO:
    """The sound as FFmpeg's muxer `container` writes it: what phones and browsers send."""
    stream = io.BytesIO()
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with av.open(stream, "w", format=container) as output:
        track = output.add_stream(codec, rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T, np.float32), format="fltp", layout=layout)
        frame.sample_rate = rate_hz
        frame.time_base = Fraction(1, rate_hz)
        converter = av.AudioResampler(format=track.codec_context.format.name, layout=layout, rate=rate_hz)
        for part in converter.resample(frame):
            output.mux(track.encode(part))
        output.mux(track.encode(None))
    stream.seek(0)
    return stream


def awkward_files(directory: Path) -> list[Path]:
    """One short file of noise in each format above, at different rates and lengths; the sound's seed is its place."""
    directory.mkdir(parents=True, exist_ok=True)
    rates = (8_000, 11_025, 22_050, 44_100, 48_000, 96_000)
    paths = []
    formats = [(container, subtype) for container, subtype, _ in EXACT] + list(LOSSY)
    for place, (container, subtype) in enumerate(formats):
        rate = 48_000 if subtype in ("OPUS", "MPEG_LAYER_III") else rates[place % len(rates)]
        samples = noise(rate * (1 + place % 5) // 4 + place, 1 + place % 2, seed=place)
        path = directory / f"{place:02}_{subtype.lower()}.{container.lower()}"
        path.write_bytes(wav(samples, rate, subtype, container).getvalue())
        paths.append(path)
    for place, (container, codec) in enumerate(FFMPEG, start=len(formats)):
        path = directory / f"{place:02}_{codec}.{container}"
        path.write_bytes(ffmpeg(noise(24_000, 2, seed=place), 48_000, container, codec).getvalue())
        paths.append(path)
    return paths
