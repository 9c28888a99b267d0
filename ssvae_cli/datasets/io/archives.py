"""Files in tar archives, read from where they lie."""

import logging
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ssvae_cli.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive that is not compressed: its bytes are one piece of the archive."""

    archive: str
    name: str
    offset: int  # of its first byte in the archive
    size: int  # bytes

    def __str__(self) -> str:
        return f"{self.archive}:{self.name}"

    @property
    def content(self) -> bytes:
        with open(self.archive, "rb") as archive:
            archive.seek(self.offset)
            return archive.read(self.size)


def members(archive: Path) -> list[Member]:
    """The files of a tar archive in their order, by its headers alone. Raises UserError for one that is compressed, cut
    short, damaged or no tar; one that ends between two files, without the mark of its end, is named in the log."""
    try:
        with tarfile.open(archive, "r:") as opened:
            files = [Member(str(archive), info.name, info.offset_data, info.size) for info in opened if info.isreg()]
            stop = opened.offset  # tarfile ends in silence at a header that it cannot read
    except (tarfile.TarError, OSError) as error:
        remedy = "; decompress it: samples are read where they lie" if _is_compressed(archive) else ""
        raise UserError(f"{archive}: cannot be read as a tar archive ({error}){remedy}") from None
    end = max((file.offset + file.size for file in files), default=0)
    if end > archive.stat().st_size:
        raise UserError(f"{archive}: it is cut short, {archive.stat().st_size:,} bytes where its headers say {end:,}")
    with archive.open("rb") as opened:
        opened.seek(stop)
        mark = opened.read(tarfile.BLOCKSIZE)
    after = f"after {files[-1].name}" if files else "at its beginning"
    if mark.strip(b"\0"):
        raise UserError(f"{archive}: it is damaged {after}, at byte {stop:,}: what follows cannot be read")
    if len(mark) < tarfile.BLOCKSIZE:
        log.warning(f"{archive}: it has no end mark {after}, as where it was cut short")
    return files


def _is_compressed(archive: Path) -> bool:
    with archive.open("rb") as opened:
        return opened.read(4).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zX", b"\x28\xb5\x2f\xfd"))
