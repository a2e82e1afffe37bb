"""What a disk may hold after a power cut, from qemu's log of its writes (blklogwrites; the format is the kernel's dm-log-writes).

A super sector, then for each request a sector with its header, and its data behind it. Writes before a flush that ended are on
the disk; of those behind the last one each 512-byte sector is there or not.
"""

import copy
import dataclasses
import pathlib
import shutil
import struct

SECTOR_BYTES = 512
MAGIC, VERSION = 0x6A736677736872, 1
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


@dataclasses.dataclass
class Write:
    at: int  # bytes
    size: int
    flags: int
    data: bytes  # empty for a discard: zeroes


def requests_logged(path):
    """As its super sector says, which is written with each request."""
    with open(path, "rb") as file:
        return SUPER.unpack(file.read(SUPER.size))[2]


class WriteLog:
    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        magic, version, count, sector = SUPER.unpack_from(data)
        if (magic, version, sector) != (MAGIC, VERSION, SECTOR_BYTES):
            raise ValueError(f"{path} is no log of writes: {magic:#x}, version {version}, sectors of {sector}")
        self.writes = []
        self.whole = True  # false: the kill fell between two requests that were being logged side by side
        at = SECTOR_BYTES
        for _ in range(count):
            if at + ENTRY.size > len(data):
                self.whole = False
                break
            first, sectors, flags, _ = ENTRY.unpack_from(data, at)
            at += SECTOR_BYTES
            size = sectors * SECTOR_BYTES
            stored = b"" if flags & DISCARD else data[at : at + size]
            if (sectors == 0 and not flags & (FLUSH | MARK)) or (not flags & DISCARD and len(stored) != size):
                self.whole = False
                break
            at += len(stored)
            self.writes.append(Write(first * SECTOR_BYTES, size, flags, stored))

    def cut_at(self, count):
        """The log of a power cut that came after so many requests."""
        cut = copy.copy(self)
        cut.writes, cut.whole = self.writes[:count], True
        return cut

    def flushes(self):
        return [index for index, write in enumerate(self.writes) if write.flags & FLUSH]

    def unflushed(self):
        """The writes that no flush covers."""
        last = max(self.flushes(), default=-1)
        return [write for write in self.writes[last + 1 :] if write.size and not write.flags & FUA]

    def replay(self, base, image, chance=None, keep=1.0, flushed_until=None):
        """`base` and what was flushed; of the rest each sector with the probability `keep`. `flushed_until`: as if flushes from this
        one on had lied."""
        shutil.copyfile(base, image)
        last = max(self.flushes(), default=-1) if flushed_until is None else flushed_until
        with open(image, "r+b") as file:
            for index, write in enumerate(self.writes):
                safe = index <= last or (write.flags & FUA and flushed_until is None)
                for sector in range(0, write.size, SECTOR_BYTES):
                    if not safe and keep < 1.0 and (keep == 0.0 or chance.random() >= keep):
                        continue
                    file.seek(write.at + sector)
                    file.write(write.data[sector : sector + SECTOR_BYTES] if write.data else bytes(SECTOR_BYTES))
