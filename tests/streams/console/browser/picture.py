"""Pictures of at most 256 colours, a third of the size; a page of text has few more, and nobody sees the difference."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["few_colours"]

_PIXELS = """async (picture) => {
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  let text = "";
  for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768));
  return [bitmap.width, bitmap.height, btoa(text)];
}"""


def few_colours(page: Page, picture: bytes) -> bytes:
    """The picture with its 256 most frequent colours, each other one as the nearest of them.

    Parameters
    ----------
    page
        Any page; it decodes the picture.
    picture
        PNG.
    """
    width, height, text = page.evaluate(_PIXELS, base64.b64encode(picture).decode())
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, 4)[:, :3].astype(np.int32)
    packed = pixels[:, 0] << 16 | pixels[:, 1] << 8 | pixels[:, 2]
    colours, place, count = np.unique(packed, return_inverse=True, return_counts=True)
    rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
    # One of each neighbourhood of colours, or else shades of grey would leave none for a small green dot.
    order = np.argsort(-count)
    _, first = np.unique(rgb[order] >> 3, axis=0, return_index=True)
    palette = rgb[order[np.sort(first)[:256]]]
    distance = ((rgb[:, None, :] - palette[None, :, :]) ** 2).sum(axis=2)
    rows = distance.argmin(axis=1)[place].astype(np.uint8).reshape(height, width)
    # Filter 0 before each row: palettes compress best unfiltered.
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", _bytes(palette)), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _bytes(palette: Any) -> bytes:
    return bytes(palette.astype(np.uint8).tobytes())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
