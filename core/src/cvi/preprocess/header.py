"""Width and height of an image file from its header, without decoding it."""

from __future__ import annotations

import re
import struct

_PNM = re.compile(rb"P[1-7]\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s")
_PAM = re.compile(rb"P7\s.*?WIDTH\s+(\d{1,9})\s.*?HEIGHT\s+(\d{1,9})\s", re.DOTALL)


def image_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG, PNG, BMP, PNM, WebP or GIF; None when not understood."""
    try:
        if data[:3] == b"\xff\xd8\xff":
            return _jpeg(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _positive(*struct.unpack_from(">II", data, 16))
        if data[:2] == b"BM":
            return _bmp(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return _positive(*struct.unpack_from("<HH", data, 6))
        return _pnm(data)
    except struct.error:
        return None


def is_cut_off(data: bytes) -> bool:
    """Whether a JPEG ends before its end-of-image marker; decoders fill the rest with gray."""
    if data[:3] != b"\xff\xd8\xff":
        return False
    return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")


def _positive(width: int, height: int) -> tuple[int, int] | None:
    return (abs(width), abs(height)) if width and height else None


def _bmp(data: bytes) -> tuple[int, int] | None:
    (size,) = struct.unpack_from("<I", data, 14)
    return _positive(*struct.unpack_from("<HH" if size == 12 else "<ii", data, 18))


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """The largest frame of all that are declared (a file may hold a second one)."""
    largest: tuple[int, int] | None = None
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            frame = _positive(width, height)
            if frame and (largest is None or frame[0] * frame[1] > largest[0] * largest[1]):
                largest = frame
        if marker == 0xDA:
            break
        at += 2 + max(length, 2)
    return largest


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        w, h = data[24:27], data[27:30]
        return _positive(int.from_bytes(w, "little") + 1, int.from_bytes(h, "little") + 1)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return _positive((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return _positive(width & 0x3FFF, height & 0x3FFF)
    return None


def _pnm(data: bytes) -> tuple[int, int] | None:
    head = data[:4096]
    match = _PAM.match(head) if head[:2] == b"P7" else _PNM.match(head)
    return _positive(int(match[1]), int(match[2])) if match else None
