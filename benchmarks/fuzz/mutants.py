"""Uploads that something happened to, the same ones for the same seed.

Two kinds. A *file* mutant is a sound file changed in its bytes and sent as it should be; the decoder in this process
says what the service owes it. A *request* mutant is a sound file whose envelope is broken.
"""

import io
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av
import numpy as np
import soundfile

BOUNDARY = b"----mutant-91c2"
_EXACT = {"fflags": "+bitexact"}  # FFmpeg's muxers then draw no numbers at random


@dataclass(frozen=True)
class Upload:
    """One request.

    Attributes:
        about: what was done to it.
        request: its bytes, head and body.
        file: the file in it, where the request is sound and the answer depends on the file alone; else None.
        control: a valid file whose answer must be what it always was.
    """

    about: str
    path: str
    request: bytes
    file: bytes | None
    control: bool = False


@cache
def seeds() -> dict[str, bytes]:
    """Small valid files in the formats that people send."""
    noise = np.random.default_rng(0)
    time_s = np.arange(24_000) / 48_000
    sound = 0.3 * np.sin(2 * np.pi * 700 * time_s)[:, None] + 0.03 * noise.standard_normal((24_000, 2))
    files = {}
    for name, container, subtype, rate_hz in (
        ("wav16", "WAV", "PCM_16", 44_100),
        ("wav24", "WAV", "PCM_24", 48_000),
        ("wav_float", "WAVEX", "FLOAT", 22_050),
        ("wav_adpcm", "WAV", "MS_ADPCM", 22_050),
        ("flac", "FLAC", "PCM_16", 44_100),
        ("mp3", "MP3", "MPEG_LAYER_III", 44_100),
        ("vorbis", "OGG", "VORBIS", 44_100),
        ("opus", "OGG", "OPUS", 48_000),
        ("aiff", "AIFF", "PCM_16", 44_100),
    ):
        stream = io.BytesIO()
        soundfile.write(stream, sound, rate_hz, format=container, subtype=subtype)
        files[name] = _without_chance(stream.getvalue())
    for name, container, codec in (
        ("m4a", "ipod", "aac"),
        ("webm", "webm", "libopus"),
        ("aac", "adts", "aac"),
    ):
        files[name] = _ffmpeg(sound, container, codec)
    return files


def upload(number: int, seed: int) -> Upload:
    """Upload `number`, which depends on nothing but the two numbers. Every tenth is a control."""
    choose = random.Random(seed * 1_000_003 + number)
    files = seeds()
    names = list(files)
    path = choose.choices(("/classify", "/timeline", "/classify_batch"), (6, 2, 2))[0]
    if number % 10 == 0:
        name = names[number // 10 % len(names)]
        return Upload(f"control: {name}", path, request(path, form(files[name])), files[name], control=True)
    name = choose.choice(names)
    data = files[name]
    if choose.random() < 0.25:
        break_it = choose.choice(_REQUESTS)
        return Upload(f"{_words(break_it)} ({name})", path, break_it(choose, path, data), None)
    done = []
    for _ in range(choose.choice((1, 1, 1, 2, 3))):
        change = choose.choice(_WAV_CHANGES + _CHANGES if data[:4] == b"RIFF" else _CHANGES)
        data = change(choose, data, files)
        done.append(_words(change))
    return Upload(f"{', '.join(done)} ({name})", path, request(path, form(data)), data)


def form(data: bytes, field: str = "file", filename: str = "a.wav", boundary: bytes = BOUNDARY) -> bytes:
    """The multipart body with one file."""
    head = f'Content-Disposition: form-data; name="{field}"; filename="{filename}"\r\n'.encode()
    return b"--" + boundary + b"\r\n" + head + b"\r\n" + data + b"\r\n--" + boundary + b"--\r\n"


def request(path: str, body: bytes, length: int | None = None, content_type: bytes | None = None) -> bytes:
    """The whole request; `length` is what it claims, if that is not the truth."""
    content_type = content_type or b"multipart/form-data; boundary=" + BOUNDARY
    claimed = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\nContent-Length: {claimed}\r\n".encode()
    return head + b"Content-Type: " + content_type + b"\r\n\r\n" + body


def _words(function: Callable) -> str:
    return function.__name__.strip("_").replace("_", " ")


def _without_chance(file: bytes) -> bytes:
    """The file without what libsndfile draws anew each time: Ogg's serial numbers, the time beside float peaks."""
    if file[:4] == b"OggS":
        stream = io.BytesIO()
        with av.open(io.BytesIO(file)) as source, av.open(stream, "w", format="ogg", options=_EXACT) as output:
            track = output.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = track
                    output.mux(packet)
        return stream.getvalue()
    place = file.find(b"PEAK")
    return file if place < 0 else file[: place + 12] + bytes(4) + file[place + 16 :]


def _ffmpeg(sound: np.ndarray, container: str, codec: str) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format=container, options=_EXACT) as output:
        track = output.add_stream(codec, rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T, np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
        convert = av.AudioResampler(format=track.codec_context.format.name, layout="stereo", rate=48_000)
        for part in convert.resample(frame):
            output.mux(track.encode(part))
        output.mux(track.encode(None))
    return stream.getvalue()


# Changes to a file. Each takes the generator, the bytes and all seeds, and gives other bytes.


def _cut(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return data[: choose.choice((choose.randrange(64), choose.randrange(len(data) + 1)))]


def _cut_the_beginning(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return data[choose.choice((choose.randrange(64), choose.randrange(len(data) + 1))) :]


def _flip_bits(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(choose.choice((1, 4, 32, 256)) if changed else 0):
        changed[choose.randrange(len(changed))] ^= 1 << choose.randrange(8)
    return bytes(changed)


def _damage_the_header(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(choose.choice((1, 2, 8)) if changed else 0):
        place = choose.randrange(min(len(changed), 128))
        changed[place] = choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))
    return bytes(changed)


def _remove_a_piece(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    begin = choose.randrange(len(data) + 1)
    return data[:begin] + data[begin + choose.choice((1, 7, 512, 4096)) :]


def _insert_noise(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    begin = choose.randrange(len(data) + 1)
    return data[:begin] + choose.randbytes(choose.choice((1, 3, 100, 5000))) + data[begin:]


def _swap_pieces(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    marks = sorted(choose.randrange(len(data) + 1) for _ in range(3))
    return data[: marks[0]] + data[marks[1] : marks[2]] + data[marks[0] : marks[1]] + data[marks[2] :]


def _zero_a_piece(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    begin = choose.randrange(len(data) + 1)
    zeros = min(choose.choice((4, 64, 2048)), len(data) - begin)
    return data[:begin] + bytes(zeros) + data[begin + zeros :]


def _splice(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    other = files[choose.choice(list(files))]
    return data[: choose.randrange(len(data) + 1)] + other[choose.randrange(len(other)) :]


def _append_another(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return data + files[choose.choice(list(files))]


def _swap_magic(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    other = files[choose.choice(list(files))]
    size = choose.choice((4, 12, 64))
    return other[:size] + data[size:]


def _huge_numbers(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    changed = bytearray(data)
    if len(changed) > 8:
        place = choose.randrange(min(len(changed) - 4, 256))
        changed[place : place + 4] = struct.pack("<I", choose.choice((0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)))
    return bytes(changed)


def _something_else(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return choose.choice(
        (
            b"",
            b"\0",
            bytes(5000),
            choose.randbytes(choose.randrange(1, 20_000)),
            b"\x89PNG\r\n\x1a\n" + choose.randbytes(500),
            b"%PDF-1.7\n" + choose.randbytes(500),
            b"PK\x03\x04" + choose.randbytes(500),
            b"#EXTM3U\nhttp://127.0.0.1:1/a.wav\n",
            b"http://127.0.0.1:1/a.wav",
            b'{"file": "/etc/passwd"}',
            b"<!DOCTYPE html><html></html>",
            b"ffconcat version 1.0\nfile /etc/passwd\n",
            b"a" * 20_000,
        )
    )


def _lie_about_a_length(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return _set_wav(choose, data, choose.choice((b"RIFF", b"fmt ", b"data", b"fact")), 4, "<I", _NUMBERS)


def _lie_about_the_rate(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return _set_wav(choose, data, b"fmt ", 12, "<I", (0, 1, 1999, 2000, 8000, 384_000, 384_001, 2**31 - 1, 2**32 - 1))


def _lie_about_the_channels(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return _set_wav(choose, data, b"fmt ", 10, "<H", (0, 1, 2, 3, 16, 17, 255, 1024, 65_535))


def _lie_about_the_bits(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return _set_wav(choose, data, b"fmt ", 22, "<H", (0, 1, 4, 8, 12, 16, 24, 32, 64, 65_535))


def _lie_about_the_block(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return _set_wav(choose, data, b"fmt ", 20, "<H", (0, 1, 2, 4, 6, 255, 65_535))


def _lie_about_the_encoding(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    return _set_wav(choose, data, b"fmt ", 8, "<H", (0, 1, 2, 3, 6, 7, 17, 49, 85, 0xFFFE, 65_535))


def _swap_chunks(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    chunks, place = [], 12
    while place + 8 <= len(data):
        size = 8 + struct.unpack_from("<I", data, place + 4)[0]
        chunks.append(data[place : place + size + size % 2])
        place += size + size % 2
    choose.shuffle(chunks)
    return data[:12] + b"".join(chunks)


def _samples_that_are_no_numbers(choose: random.Random, data: bytes, files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    sound = np.full((choose.choice((1, 100, 20_000)), 1), choose.choice((np.nan, np.inf, -np.inf, 1e38)), np.float32)
    soundfile.write(stream, sound, 22_050, format="WAV", subtype="FLOAT")
    return _without_chance(stream.getvalue())


_NUMBERS = (0, 1, 3, 0x7F, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def _set_wav(
    choose: random.Random, data: bytes, chunk: bytes, offset: int, kind: str, values: tuple[int, ...]
) -> bytes:
    place = data.find(chunk)
    changed = bytearray(data)
    if place >= 0 and place + offset + struct.calcsize(kind) <= len(data):
        struct.pack_into(kind, changed, place + offset, choose.choice(values))
    return bytes(changed)


_CHANGES: tuple[Callable, ...] = (
    _cut,
    _cut_the_beginning,
    _flip_bits,
    _damage_the_header,
    _remove_a_piece,
    _insert_noise,
    _swap_pieces,
    _zero_a_piece,
    _splice,
    _append_another,
    _swap_magic,
    _huge_numbers,
    _something_else,
)
_WAV_CHANGES: tuple[Callable, ...] = (
    _lie_about_a_length,
    _lie_about_the_rate,
    _lie_about_the_channels,
    _lie_about_the_bits,
    _lie_about_the_block,
    _lie_about_the_encoding,
    _swap_chunks,
    _samples_that_are_no_numbers,
)


# Broken requests. Each takes the generator, the path and a valid file, and gives the bytes to send.


def _length_too_long(choose: random.Random, path: str, data: bytes) -> bytes:
    body = form(data)
    return request(path, body, len(body) + choose.choice((1, 100, 10**6, 10**8, 10**10)))


def _length_too_short(choose: random.Random, path: str, data: bytes) -> bytes:
    body = form(data)
    return request(path, body, choose.randrange(len(body)))


def _length_no_number(choose: random.Random, path: str, data: bytes) -> bytes:
    body = form(data)
    lie = choose.choice((b"-1", b"abc", b"1e6", b"0x10", b"99999999999999999999999", b"\xb2", b""))
    return request(path, body).replace(str(len(body)).encode(), lie, 1)


def _body_cut(choose: random.Random, path: str, data: bytes) -> bytes:
    body = form(data)
    return request(path, body[: choose.randrange(len(body))])


def _body_cut_and_hung_up(choose: random.Random, path: str, data: bytes) -> bytes:
    body = form(data)
    return request(path, body[: choose.randrange(len(body))], len(body))


def _wrong_boundary(choose: random.Random, path: str, data: bytes) -> bytes:
    return request(path, form(data, boundary=choose.choice((b"other", b"", BOUNDARY[:-1], BOUNDARY + b"x"))))


def _strange_boundary(choose: random.Random, path: str, data: bytes) -> bytes:
    kinds = (b"", b"; boundary=", b"; boundary=" + b"b" * 5000, b'; boundary="a\x00b"', b"; boundary=\xff")
    return request(path, form(data), content_type=b"multipart/form-data" + choose.choice(kinds))


def _text_in_place_of_a_file(choose: random.Random, path: str, data: bytes) -> bytes:
    text = choose.choice((b"http://127.0.0.1:1/a.wav", b"file:///etc/passwd", b"", b"a" * 5000))
    body = form(text).replace(b'; filename="a.wav"', b"")
    return request(path, body)


def _wrong_field(choose: random.Random, path: str, data: bytes) -> bytes:
    return request(path, form(data, field=choose.choice(("", "audio", "file[]", "fi\u00e9", "f" * 3000))))


def _strange_name(choose: random.Random, path: str, data: bytes) -> bytes:
    names = ("", "../../etc/passwd", "a" * 3000, "\u2603.wav", 'a"b', "a.wav\0", "CON", "x.raw")
    return request(path, form(data, filename=choose.choice(names)))


def _broken_part_header(choose: random.Random, path: str, data: bytes) -> bytes:
    body = form(data)
    broken = choose.choice(
        (
            body.replace(b"Content-Disposition", b"Content-Nothing", 1),
            body.replace(b"Content-Disposition: ", b"", 1),
            body.replace(b"\r\n\r\n", b"\r\n", 1),
            body.replace(b"\r\n", b"\n"),
            body.replace(b"form-data;", b"form-data;" + b" a=b;" * 2000, 1),
            body.replace(b"Content-Disposition", b"X: " + b"y" * 20_000 + b"\r\nContent-Disposition", 1),
            body.replace(b"Content-Disposition", b"X: y\r\n" * 500 + b"Content-Disposition", 1),
            body.replace(b"name=", b"\x00name=", 1),
        )
    )
    return request(path, broken)


def _many_parts(choose: random.Random, path: str, data: bytes) -> bytes:
    part = form(b"x", field=choose.choice(("file", "other")))[: -len(BOUNDARY) - 6]
    return request(path, part * choose.choice((2, 33, 65, 2000)) + form(data))


def _no_form_at_all(choose: random.Random, path: str, data: bytes) -> bytes:
    kind = choose.choice((b"application/json", b"text/plain", b"application/x-www-form-urlencoded", b"", b"\xff/\xfe"))
    return request(path, choose.choice((data, b"{}", b'{"file": "http://127.0.0.1:1/a.wav"}', b"")), None, kind or b" ")


def _raw_body(choose: random.Random, path: str, data: bytes) -> bytes:
    kind = choose.choice((b"audio/wav", b"video/mp4", b"application/octet-stream", b"AUDIO/X; a=b"))
    return request(path, data[: choose.choice((len(data), len(data) // 2, 0))], None, kind)


def _chunked(choose: random.Random, path: str, data: bytes) -> bytes:
    body = form(data)
    head = request(path, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    size = choose.choice((b"%x" % len(body), b"%x" % (len(body) + 5), b"zz", b"-1", b"ffffffffffffffff", b""))
    return head + size + b"\r\n" + body + b"\r\n0\r\n\r\n"


def _both_lengths(choose: random.Random, path: str, data: bytes) -> bytes:
    second = choose.choice((b"Content-Length: 5", b"Content-Length: 0", b"Transfer-Encoding: chunked"))
    return request(path, form(data)).replace(b"Host: fuzz", b"Host: fuzz\r\n" + second)


def _no_http(choose: random.Random, path: str, data: bytes) -> bytes:
    return choose.choice(
        (
            data,
            choose.randbytes(3000),
            b"GET\r\n\r\n",
            b"POST " + path.encode() + b"\r\n\r\n",
            b"POST " + path.encode() * 5000 + b" HTTP/1.1\r\n\r\n",
            request(path, form(data)).replace(b"HTTP/1.1", b"HTTP/9.9"),
            request(path, form(data)).replace(b"Host: fuzz\r\n", b""),
            request(path, form(data)).replace(b"Host: fuzz", b"Host fuzz"),
            request(path, form(data)).replace(b"POST", choose.choice((b"PUT", b"BREW", b"G\xcbT"))),
            request(path + choose.choice(("?stream=1", "?stream=%ff", "/", "/../metrics", "%00", "//")), form(data)),
        )
    )


_REQUESTS: tuple[Callable, ...] = (
    _length_too_long,
    _length_too_short,
    _length_no_number,
    _body_cut,
    _body_cut_and_hung_up,
    _wrong_boundary,
    _strange_boundary,
    _text_in_place_of_a_file,
    _wrong_field,
    _strange_name,
    _broken_part_header,
    _many_parts,
    _no_form_at_all,
    _raw_body,
    _chunked,
    _both_lengths,
    _no_http,
)
