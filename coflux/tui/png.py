"""PNG pictures in plain Python, for where Pillow is not installed: 8 bits a channel, not interlaced. Pure.

See https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

__all__ = ["SIGNATURE", "Image", "UnreadableImage", "read_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: grey, RGB, palette, grey and alpha, RGBA


class UnreadableImage(ValueError):
    """It is damaged, or of a kind that cannot be shown; the message says which."""


class Image(NamedTuple):
    """`rgb` has three bytes for each pixel, row by row from above."""

    width: int
    height: int
    rgb: bytes


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    color: int
    interlaced: bool


def read_png(data: bytes, most_pixels: int) -> Image:
    """Read a picture. What is transparent is put on white.

    Raises:
        UnreadableImage: it is damaged, has more than `most_pixels`, or is of a kind that is not read here.
    """
    if not data.startswith(SIGNATURE):
        raise UnreadableImage("this is no PNG")
    compressed, palette, alpha = bytearray(), b"", b""
    header: _Header | None = None
    for kind, content in _chunks(data):
        if kind == b"IHDR":
            header = _header(content, most_pixels)
        elif kind == b"PLTE":
            palette = content
        elif kind == b"tRNS":
            alpha = content
        elif kind == b"IDAT":
            compressed += content
    if header is None:
        raise UnreadableImage("the PNG is damaged: it has no header")
    rows = _rows(_inflated(bytes(compressed), header), header)
    return Image(header.width, header.height, b"".join(_colored(row, header.color, palette, alpha) for row in rows))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        if len(content) < length:
            raise UnreadableImage("the PNG is cut short")
        if kind == b"IEND":
            return
        yield kind, content
        at += length + 12  # with the checksum, which says nothing that the blob's hash does not


def _header(content: bytes, most_pixels: int) -> _Header:
    if len(content) != 13:
        raise UnreadableImage("the PNG is damaged: its header has a wrong length")
    width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", content)
    if not width or not height or color not in _CHANNELS:
        raise UnreadableImage("the PNG is damaged: its header makes no sense")
    if width * height > most_pixels:
        raise UnreadableImage(f"{width:,} x {height:,} pixels are too many")
    if depth != 8:
        raise UnreadableImage(f"a PNG with {depth} bits a channel")
    if interlace:
        raise UnreadableImage("an interlaced PNG")
    return _Header(width, height, depth, color, False)


def _inflated(compressed: bytes, header: _Header) -> bytes:
    size = header.height * (1 + header.width * _CHANNELS[header.color])
    try:
        data = zlib.decompressobj().decompress(compressed, size)
    except zlib.error as error:
        raise UnreadableImage(f"the PNG is damaged: {error}") from None
    if len(data) < size:
        raise UnreadableImage("the PNG is cut short")
    return data


def _rows(data: bytes, header: _Header) -> Iterator[bytes]:
    """The rows without their filters."""
    channels = _CHANNELS[header.color]
    stride = header.width * channels
    above = bytes(stride)
    for start in range(0, len(data), stride + 1):
        row = data[start + 1 : start + 1 + stride]
        match data[start]:
            case 0:
                above = row
            case 1:
                above = _after_sub(row, channels)
            case 2:
                above = bytes([(one + up) & 255 for one, up in zip(row, above, strict=True)])
            case 3:
                above = _after_average(row, above, channels)
            case 4:
                above = _after_paeth(row, above, channels)
            case other:
                raise UnreadableImage(f"the PNG is damaged: there is no filter {other}")
        yield above


def _after_sub(row: bytes, channels: int) -> bytes:
    done = bytearray(len(row))
    for channel in range(channels):
        sums = accumulate(row[channel::channels])
        done[channel::channels] = bytes([one & 255 for one in sums])
    return bytes(done)


def _after_average(row: bytes, above: bytes, channels: int) -> bytes:
    done = bytearray(len(row))
    for channel in range(channels):
        left = 0
        for at in range(channel, len(row), channels):
            left = done[at] = (row[at] + ((left + above[at]) >> 1)) & 255
    return bytes(done)


def _after_paeth(row: bytes, above: bytes, channels: int) -> bytes:
    done = bytearray(len(row))
    for channel in range(channels):
        left = corner = 0
        values = []
        for one, up in zip(row[channel::channels], above[channel::channels], strict=True):
            # The nearest to left + up - corner; of equals the first of these three.
            by_left, by_up, by_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            if by_left <= by_up and by_left <= by_corner:
                left = (one + left) & 255
            elif by_up <= by_corner:
                left = (one + up) & 255
            else:
                left = (one + corner) & 255
            corner = up
            values.append(left)
        done[channel::channels] = bytes(values)
    return bytes(done)


def _colored(row: bytes, color: int, palette: bytes, alpha: bytes) -> bytes:
    """The pixels of a row as RGB."""
    if color == 2:
        return row
    if color == 3:
        return _from_palette(row, palette, alpha)
    done = bytearray(len(row) // _CHANNELS[color] * 3)
    if color == 0:
        done[0::3] = done[1::3] = done[2::3] = row
    elif color == 4:
        done[0::3] = done[1::3] = done[2::3] = _on_white(row[0::2], row[1::2])
    else:
        for channel in range(3):
            done[channel::3] = _on_white(row[channel::4], row[3::4])
    return bytes(done)


def _on_white(values: bytes, alpha: bytes) -> bytes:
    if alpha == b"\xff" * len(alpha):
        return values
    return bytes([255 + (value - 255) * share // 255 for value, share in zip(values, alpha, strict=True)])


def _from_palette(row: bytes, palette: bytes, alpha: bytes) -> bytes:
    if len(palette) < 3 * (max(row) + 1):
        raise UnreadableImage("the PNG is damaged: a colour is not in its palette")
    opacity = alpha.ljust(256, b"\xff")
    done = bytearray(len(row) * 3)
    for channel in range(3):
        colors = palette[channel::3].ljust(256, b"\0")[:256]
        done[channel::3] = row.translate(_on_white(colors, opacity))
    return bytes(done)
