"""What a file is, by its first bytes and never by its name.

The demuxer is fixed here: FFmpeg, left to guess, would also open playlists, and through them other files and addresses.
"""

from dataclasses import dataclass
from typing import BinaryIO

HEAD_BYTES = 4096
CONVERT = "convert it first, for example: ffmpeg -i FILE sound.wav"


@dataclass(frozen=True)
class Decoders:
    """Who is asked to decode a content.

    Attributes:
        libsndfile: whether libsndfile is asked first.
        demuxer: FFmpeg's name for the container; None where FFmpeg is not asked.
    """

    libsndfile: bool
    demuxer: str | None


def read_head(stream: BinaryIO) -> bytes:
    """The first bytes behind any ID3v2 tags; `stream` is left at its beginning."""
    at = 0
    while True:
        stream.seek(at)
        head = stream.read(HEAD_BYTES)
        tag = id3v2_bytes(head)
        if not tag:
            break
        at += tag
    if not head and at:  # nothing but tags
        stream.seek(0)
        head = stream.read(HEAD_BYTES)
    stream.seek(0)
    return head


def id3v2_bytes(head: bytes) -> int:
    """Length of the ID3v2 tag that `head` begins with; 0 where it begins with none (ID3 tag version 2.4.0, 3.1)."""
    if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return size + (20 if head[5] & 0x10 else 10)


def decoders(head: bytes) -> Decoders:
    """Who can decode a file that begins with `head`."""
    for offset, magic, demuxer in _FFMPEG:
        if head[offset : offset + len(magic)] == magic:
            return Decoders(False, demuxer)
    for offset, magic, demuxer in _BOTH:
        if head[offset : offset + len(magic)] == magic:
            return Decoders(True, demuxer)
    if len(head) > 6 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        if head[1] & 0xF6 == 0xF0:  # ADTS: 12 bits of sync, layer 0, which MP3's never is
            return Decoders(False, "aac")
        return Decoders(True, "mp3")
    if head[:2] == b"\x0b\x77" and len(head) > 5:
        return Decoders(False, "ac3" if head[5] >> 3 <= 10 else "eac3")
    if len(head) > 1 and head[0] == 0x56 and head[1] & 0xE0 == 0xE0:
        return Decoders(False, "loas")
    if _is_transport_stream(head):
        return Decoders(False, "mpegts")
    return Decoders(True, None)


def describe_content(head: bytes) -> str:
    """Name what a file's first bytes look like, for the message of a refusal."""
    if not head:
        return "an empty file"
    for offset, magic, name in _LOOKS_LIKE:
        if head[offset : offset + len(magic)] == magic:
            return name
    if head[:2] == b"--" and b"content-disposition:" in head.lower():
        return (
            "a multipart form with a file in it, and not the file itself (over HTTP, a form's Content-Type is "
            "multipart/form-data with its boundary: leave the header to your client)"
        )
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    try:
        text = head[:512].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < 508 or len(head) <= 512:  # else a character was cut in two
            return "unknown binary data"
        text = head[: error.start].decode("utf-8")
    printable = sum(character.isprintable() or character.isspace() for character in text)
    return "plain text" if printable >= 0.9 * len(text) else "unknown binary data"


def _is_transport_stream(head: bytes) -> bool:
    """MPEG-TS has a sync byte every 188 bytes; cameras (M2TS) put four bytes of time before each."""
    return any(
        len(head) > first + 4 * period and all(head[first + n * period] == 0x47 for n in range(5))
        for first, period in ((0, 188), (4, 192))
    )


_FFMPEG = (
    (4, b"ftyp", "mov"),
    (4, b"moov", "mov"),  # QuickTime before MP4
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
    (4, b"free", "mov"),
    (4, b"skip", "mov"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"#!AMR\n", "amr"),
    (0, b"#!AMR-WB\n", "amr"),
    (0, b"BW64", "wav"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf"),
    (0, b"wvpk", "wv"),
    (8, b"AVI ", "avi"),
    (0, b"FLV\x01", "flv"),
    (0, b"\0\0\x01\xba", "mpeg"),
    (0, b"MAC ", "ape"),
    (0, b"TTA1", "tta"),
    (0, b"MPCK", "mpc8"),
    (0, b"MP+", "mpc"),
    (0, b"tBaK", "tak"),
    (0, b"\x7f\xfe\x80\x01", "dts"),
    (0, b"DSD ", "dsf"),
)
_BOTH = (
    (8, b"WAVE", "wav"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b"FORM", "aiff"),
    (0, b"caff", "caf"),
    (0, b".snd", "au"),
    (0, b"riff\x2e\x91\xcf\x11", "w64"),
    (0, b"Creative Voice File", "voc"),
)
_LOOKS_LIKE = (
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
    (0, b"#EXTM3U", "a playlist"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
    (8, b"WAVE", "a WAV file with a damaged or unknown content"),
    (8, b"AVI ", "an AVI file with damaged or no sound"),
    (0, b"RIFF", "a RIFF file that is not WAV"),
    (0, b"fLaC", "a damaged FLAC file"),
    (0, b"OggS", "an Ogg file with a damaged or unknown stream"),
    (0, b"FORM", "an AIFF file with a damaged or unknown content"),
    (0, b"caff", "a CAF file with a damaged or unknown content"),
    (0, b"ID3", "a damaged MP3 file"),
    (4, b"ftyp", "an MP4 file with damaged or no sound, or one that was cut off before its index (moov) was written"),
    (0, b"\x1aE\xdf\xa3", "a WebM or Matroska file with damaged or no sound"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a WMA or ASF file with damaged or no sound"),
    (0, b".RMF", f"a RealMedia file, which is not read here: {CONVERT}"),
    (0, b".ra\xfd", f"a RealAudio file, which is not read here: {CONVERT}"),
    (0, b"FRM8", f"a DSDIFF file, which is not read here: {CONVERT}"),
    (0, b"#!SILK", "a SILK voice message, which neither libsndfile nor FFmpeg decodes"),
    (0, b"\x02#!SILK", "a SILK voice message, which neither libsndfile nor FFmpeg decodes"),
)
