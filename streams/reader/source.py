"""The files of a log: what they are, and their bytes."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from engine.errors import UsageError

__all__ = ["Source", "find_source"]

_FORMS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_BLOCK = 1 << 18
# A zstd block of 4 bytes may unfold to 128 KiB; 4 KiB of input keep a hostile file at 128 MiB, at no cost in speed.
_ZSTD_INPUT = 4096


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a log, known to exist.

    Parameters
    ----------
    name
        As the user wrote it.
    path
        Where it is.
    form
        `jsonl`, `csv` or `parquet`.
    compression
        `gzip`, `zstd` or `None`.
    size
        Bytes on disk, > 0.
    """

    name: str
    path: Path
    form: str
    compression: str | None
    size: int

    def blocks(self, count: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
        """The content, unpacked, block by block; memory stays bounded whatever the file holds.

        Parameters
        ----------
        count
            Called with the number of bytes read from disk so far.

        Raises
        ------
        UsageError
            The file is truncated or damaged, or cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                if self.compression == "gzip":
                    with gzip.GzipFile(fileobj=file) as unpacked:
                        yield from _read(unpacked, file, count)
                elif self.compression == "zstd":
                    yield from self._unzstd(file, count)
                else:
                    yield from _read(file, file, count)
        except EOFError as error:
            raise self._truncated() from error
        except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise UsageError(
                f"{self.name}: expected {self.compression} data, got damaged bytes ({error}); make the file again"
            ) from error
        except OSError as error:
            raise UsageError(f"{self.name}: cannot be read: {error.strerror or error}") from error

    def _unzstd(self, file: BinaryIO, count: Callable[[int], None]) -> Iterator[bytes]:
        # Not `stream_reader`: at the end of a truncated file it returns no bytes, as if the file were whole.
        frame = None
        while chunk := file.read(_ZSTD_INPUT):
            while chunk:
                if frame is None:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                block = frame.decompress(chunk)
                chunk = b""
                if frame.eof:
                    chunk, frame = frame.unused_data, None
                if block:
                    count(file.tell())
                    yield block
        if frame is not None:
            raise self._truncated()

    def _truncated(self) -> UsageError:
        return UsageError(
            f"{self.name}: expected the end of the {self.compression} data, got the end of the file; "
            "it is truncated, copy it again"
        )


def _read(unpacked: BinaryIO | gzip.GzipFile, file: BinaryIO, count: Callable[[int], None]) -> Iterator[bytes]:
    while block := unpacked.read(_BLOCK):
        count(file.tell())
        yield block


def find_source(path: str | os.PathLike[str]) -> Source:
    """Look at a file that the user named.

    Parameters
    ----------
    path
        A file with the ending `.jsonl`, `.ndjson`, `.json`, `.csv` or `.parquet`; the text formats also with `.gz` or
        `.zst` behind it.

    Raises
    ------
    UsageError
        It is missing, no regular file, empty, or not what its name says.
    """
    name = os.fspath(path)
    found = Path(path)
    try:
        status = found.stat()
    except OSError as error:
        raise UsageError(f"{name}: expected a log file, got: {error.strerror or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{name}: expected a log file, got a directory; name the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{name}: expected a regular file, got a pipe or device; write it to a file first")
    if status.st_size == 0:
        raise UsageError(f"{name}: expected events, got an empty file")
    suffixes = [suffix.lower() for suffix in found.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    inner = suffixes[:-1] if compression else suffixes
    form = _FORMS.get(inner[-1]) if inner else None
    if form is None or (form == "parquet" and compression):
        raise UsageError(
            f"{name}: expected .jsonl, .ndjson, .json or .csv (also with .gz or .zst behind it) or .parquet, "
            f"got {''.join(suffixes[-2:]) or 'no ending'}"
        )
    return Source(name, found, form, _checked(name, found, form, compression), status.st_size)


def _checked(name: str, path: Path, form: str, compression: str | None) -> str | None:
    """Compare the first and last bytes with what the name says; returns the compression that the bytes have."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(0, path.stat().st_size - 4))
            tail = file.read(4)
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror or error}") from error
    if form == "parquet":
        if head != b"PAR1" or tail != b"PAR1":
            raise UsageError(f"{name}: expected a Parquet file, got bytes without its mark PAR1; is it truncated?")
        return None
    real = next((kind for kind, magic in _MAGIC.items() if head.startswith(magic)), None)
    if compression is not None and real != compression:
        raise UsageError(f"{name}: expected {compression} data as its name says, got {real or 'something else'}")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UsageError(f"{name}: expected UTF-8, got UTF-16; convert it (iconv -f UTF-16 -t UTF-8)")
    return real
