#!/usr/bin/env python3
"""reader.py - what a rill store's files hold, read without rill.

usage: reader.py STORE                     what it holds, and what is damaged
       reader.py --records TOPIC/PARTITION STORE
                                           offset, timestamp, key and value in hex
       reader.py --serve                   a store's path per line of input; the
                                           answer ends with an empty line

A second opinion for the harnesses, written from the format comments alone
(lib/log/format.h, lib/meta/format.h, lib/engine/store.c) and from the public
format of LMDB's files; the standard library is all it needs. It says what the
store holds after a boot: what lies before the durable mark must verify, what
follows counts as long as batches follow each other. It changes nothing.

The answer, one fact per line:

    topic NAME PARTITIONS
    partition NAME NUMBER START END RECORDS CRC
    commit GROUP NAME NUMBER OFFSET
    durable NAME NUMBER OFFSET
    damage FILE POSITION WHY

CRC is CRC-32 in hex over all records: offset (8), timestamp (8), key size (4,
-1 null), key, value size (4, -1 null), value, count of headers (4), and of each
its name's size (4), name, value size (4, -1 null), value; all little-endian. It is
"--------" if there are batches compressed by zstd, which Python reads from 3.14
on; of those the checksums, sizes and counts are checked, as of all others.

Ends with 0 if the store is healthy, 1 if there is damage, 2 if it is no store.
"""
import os
import struct
import sys
import zlib

try:
    from compression import zstd
except ImportError:
    zstd = None

M64 = (1 << 64) - 1

# ---- XXH3-64 ----------------------------------------------------------------

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
P32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
P64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
       0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
LANES = struct.Struct("<8Q")


def u32(data, at):
    return int.from_bytes(data[at:at + 4], "little")


def u64(data, at):
    return int.from_bytes(data[at:at + 8], "little")


def i32(data, at):
    return int.from_bytes(data[at:at + 4], "little", signed=True)


def i64(data, at):
    return int.from_bytes(data[at:at + 8], "little", signed=True)


def fold(a, b):
    product = a * b
    return (product & M64) ^ (product >> 64)


def avalanche(v):
    v ^= v >> 37
    v = v * 0x165667919E3779F9 & M64
    return v ^ v >> 32


def old_avalanche(v):
    v ^= v >> 33
    v = v * P64[1] & M64
    v ^= v >> 29
    v = v * P64[2] & M64
    return v ^ v >> 32


def mix16(data, at, secret_at):
    return fold(u64(data, at) ^ u64(SECRET, secret_at),
                u64(data, at + 8) ^ u64(SECRET, secret_at + 8))


def short_hash(data):
    n = len(data)
    if n == 0:
        return old_avalanche(u64(SECRET, 56) ^ u64(SECRET, 64))
    if n <= 3:
        combined = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
        return old_avalanche(combined ^ u32(SECRET, 0) ^ u32(SECRET, 4))
    if n <= 8:
        value = u32(data, n - 4) + (u32(data, 0) << 32)
        h = value ^ u64(SECRET, 8) ^ u64(SECRET, 16)
        h ^= (h << 49 | h >> 15) & M64 ^ (h << 24 | h >> 40) & M64
        h = h * 0x9FB21C651E98DF25 & M64
        h ^= (h >> 35) + n
        h = h * 0x9FB21C651E98DF25 & M64
        return h ^ h >> 28
    low = u64(data, 0) ^ u64(SECRET, 24) ^ u64(SECRET, 32)
    high = u64(data, n - 8) ^ u64(SECRET, 40) ^ u64(SECRET, 48)
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    return avalanche(n + swapped + high + fold(low, high) & M64)


def middle_hash(data):
    n = len(data)
    h = n * P64[0] & M64
    if n <= 128:
        for i in range((n - 1) // 32, -1, -1):
            h += mix16(data, 16 * i, 32 * i) + mix16(data, n - 16 * (i + 1), 32 * i + 16)
        return avalanche(h & M64)
    for i in range(8):
        h += mix16(data, 16 * i, 16 * i)
    h = avalanche(h & M64)
    for i in range(8, n // 16):
        h += mix16(data, 16 * i, 16 * (i - 8) + 3)
    h += mix16(data, n - 16, 136 - 17)
    return avalanche(h & M64)


STRIPE_KEYS = [LANES.unpack_from(SECRET, 8 * i) for i in range(16)]
SCRAMBLE_KEYS = LANES.unpack_from(SECRET, 128)
LAST_KEYS = LANES.unpack_from(SECRET, 192 - 64 - 7)


def add_stripe(lanes, data, at, keys):
    values = LANES.unpack_from(data, at)
    for i in range(8):
        mixed = values[i] ^ keys[i]
        lanes[i ^ 1] += values[i]
        lanes[i] = lanes[i] + (mixed & 0xFFFFFFFF) * (mixed >> 32) & M64


def long_hash(data):
    n = len(data)
    lanes = [P32[2], P64[0], P64[1], P64[2], P64[3], P32[1], P64[4], P32[0]]
    stripes = (n - 1) // 64
    for i in range(stripes):
        add_stripe(lanes, data, 64 * i, STRIPE_KEYS[i % 16])
        if i % 16 == 15:
            for j in range(8):
                v = lanes[j] & M64
                lanes[j] = (v ^ v >> 47 ^ SCRAMBLE_KEYS[j]) * P32[0] & M64
    add_stripe(lanes, data, n - 64, LAST_KEYS)
    h = n * P64[0] & M64
    for i in range(4):
        h += fold(lanes[2 * i] & M64 ^ u64(SECRET, 11 + 16 * i),
                  lanes[2 * i + 1] & M64 ^ u64(SECRET, 19 + 16 * i))
    return avalanche(h & M64)


def xxh3(data):
    if len(data) <= 16:
        return short_hash(data)
    return middle_hash(data) if len(data) <= 240 else long_hash(data)


# ---- LMDB's file -------------------------------------------------------------

class Damaged(Exception):
    def __init__(self, file, position, why):
        super().__init__(why)
        self.file, self.position, self.why = file, position, why


class Catalogue:
    """The keys and values of meta/data.mdb."""

    def __init__(self, path):
        self.file = "meta/data.mdb"
        try:
            with open(os.path.join(path, "meta", "data.mdb"), "rb") as f:
                self.data = f.read()
        except OSError as error:
            raise Damaged(self.file, 0, error.strerror)
        self.seen = set()
        metas = [m for m in (self.meta(0), self.meta(1)) if m is not None]
        if not metas:
            raise Damaged(self.file, 0, "no page to begin with")
        self.txn, self.last_page, self.depth, self.root = max(metas)

    def meta(self, number):
        size = u32(self.data, 40) if len(self.data) >= 4096 else 0
        if size < 512 or size & size - 1:
            return None
        self.page_size = size
        at = number * size + 16
        if len(self.data) < at + 136 or u32(self.data, at) != 0xBEEFC0DE:
            return None
        if u32(self.data, at + 4) != 1:
            return None
        records = at + 24 + 48
        depth = int.from_bytes(self.data[records + 6:records + 8], "little")
        return (u64(self.data, at + 128), u64(self.data, at + 120), depth,
                u64(self.data, records + 40))

    def damaged(self, page, why):
        return Damaged(self.file, page * self.page_size, why)

    def page(self, number):
        if not 2 <= number <= self.last_page or (number + 1) * self.page_size > len(self.data):
            raise self.damaged(number, "a page beyond the end")
        if number in self.seen:
            raise self.damaged(number, "a page that is used twice")
        self.seen.add(number)
        page = self.data[number * self.page_size:(number + 1) * self.page_size]
        if u64(page, 0) != number:
            raise self.damaged(number, "has another page's number")
        return page

    def items(self):
        if self.depth > 32:
            raise self.damaged(0, "a tree too deep")
        return self.walk(self.root, 1) if self.depth else iter(())

    def walk(self, number, level):
        page = self.page(number)
        leaf = level == self.depth
        if page[10] != (2 if leaf else 1):
            raise self.damaged(number, "a page of another kind")
        for at in range(16, min(int.from_bytes(page[12:14], "little"), len(page)), 2):
            node = int.from_bytes(page[at:at + 2], "little")
            low, high, flags, key_size = struct.unpack("<4H", page[node:node + 8].ljust(8, b"\0"))
            key = page[node + 8:node + 8 + key_size]
            if len(key) != key_size:
                raise self.damaged(number, "a key leaves its page")
            size = low | high << 16
            if not leaf:
                yield from self.walk(size | flags << 32, level + 1)
            elif flags & 1:
                yield key, self.overflow(u64(page, node + 8 + key_size), size)
            else:
                value = page[node + 8 + key_size:node + 8 + key_size + size]
                if len(value) != size:
                    raise self.damaged(number, "a value leaves its page")
                yield key, value

    def overflow(self, number, size):
        self.page(number)
        at = number * self.page_size + 16
        value = self.data[at:at + size]
        if len(value) != size:
            raise self.damaged(number, "a value leaves the file")
        return value


# ---- A partition -------------------------------------------------------------

def batch_sum(salt, batch):
    mixed = avalanche(salt ^ u64(batch, 8) * 0x9E3779B97F4A7C15 & M64)
    mixed = avalanche(mixed + u32(batch, 16) * 0xC2B2AE3D27D4EB4F + 1 & M64)
    if batch[62] & 1 << 3: # its timestamp is that of the append
        mixed ^= xxh3(batch[48:]) ^ avalanche(xxh3(batch[20:40])) ^ avalanche(u64(batch, 40))
        return mixed
    return xxh3(batch[20:]) ^ mixed


def unlz4(data, size):
    """A block of lz4: a token, literals, and a copy from before, again and again."""
    out = bytearray()
    at = 0

    def more(length, at):
        if length == 15:
            while True:
                length += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        return length, at

    try:
        while True:
            token = data[at]
            length, at = more(token >> 4, at + 1)
            if at + length > len(data):
                raise ValueError("literals leave their block")
            out += data[at:at + length]
            at += length
            if at == len(data):
                break
            back = data[at] | data[at + 1] << 8
            length, at = more(token & 15, at + 2)
            length += 4
            if not 0 < back <= len(out) or len(out) + length > size:
                raise ValueError("a copy leaves its block")
            while length > 0: # what is copied may be what the copy has made
                part = out[len(out) - back:len(out) - back + length]
                out += part
                length -= len(part)
    except IndexError:
        raise ValueError("a block of lz4 ends too soon")
    if len(out) != size:
        raise ValueError("%d bytes of lz4 instead of %d" % (len(out), size))
    return bytes(out)


def unpacked(batch):
    """The batch as if it had not been compressed; None: only a newer Python can."""
    codec = batch[62] & 7
    if codec == 0:
        return batch
    size, packed = u32(batch, 64), u32(batch, 68)
    if size % 8 or size > 64 << 20 or u32(batch, 24) * 16 > size:
        raise ValueError("an impossible size before compression")
    if (72 + packed + 7) // 8 * 8 != len(batch) or any(batch[72 + packed:]):
        raise ValueError("the packed size is not the batch's")
    data = batch[72:72 + packed]
    if codec == 3:
        return batch[:64] + unlz4(data, size)
    if codec != 4 or data[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("codec %d is none, or this is not of it" % codec)
    if zstd is None:
        return None
    data = zstd.decompress(data)
    if len(data) != size:
        raise ValueError("%d bytes of zstd instead of %d" % (len(data), size))
    return batch[:64] + data


def text_of(data, at, size, null):
    if size == null:
        return None, at
    value = data[at:at + size]
    if len(value) != size:
        raise ValueError("a field leaves its record")
    return value, at + size


def headers_of(data, at):
    headers = []
    for _ in range(u32(data, at)):
        name_size, value_size = u32(data, at + 4), u32(data, at + 8)
        name, after = text_of(data, at + 12, name_size, None)
        value, after = text_of(data, after, value_size, 0xFFFFFFFF)
        headers.append((name, value))
        at = after - 4
    return headers


def records_of(stored):
    """Tuples, or None for each record that cannot be read here."""
    batch = unpacked(stored)
    if batch is None:
        yield from [None] * u32(stored, 24)
        return
    sparse = bool(batch[62] & 1 << 6)
    appended = i64(batch, 40) if batch[62] & 1 << 3 else None
    at = 64
    for place in range(u32(batch, 24)):
        size = u32(batch, at)
        record = batch[at:at + size]
        if size < 16 or size % 8 or len(record) != size:
            raise ValueError("a record leaves its batch")
        key_size = u32(record, 12)
        delta = u32(record, 16) if sparse else place
        value, end = text_of(record, 24 if sparse else 16, u32(record, 4), 0xFFFFFFFF)
        key, end = text_of(record, end, key_size & 0x7FFFFFFF, 0x7FFFFFFF)
        headers = headers_of(record, end) if key_size >> 31 else []
        time = i64(batch, 32) + i32(record, 8) if appended is None else appended
        yield u64(batch, 8) + delta, time, key, value, headers
        at += size
    if at != len(batch):
        raise ValueError("bytes behind the last record")


class Partition:
    """What a boot makes of a partition's directory."""

    def __init__(self, store, topic, number):
        self.store, self.topic, self.number = store, topic, number
        self.directory = "%s/%d" % (topic.id.hex(), number)
        self.records, self.damages = [], []
        self.start = self.end = self.durable = 0
        try:
            self.read()
        except Damaged as damage:
            self.damages.append(damage)

    def file(self, name):
        try:
            with open(os.path.join(self.store, self.directory, name), "rb") as f:
                return f.read()
        except OSError as error:
            raise Damaged(self.directory + "/" + name, 0, error.strerror)

    def read_mark(self):
        control = self.file("control")
        marks = []
        for at in (4096, 4608):
            mark = control[at:at + 64]
            if mark[:8] == b"RILLMRK1" and len(mark) == 64 and xxh3(mark[:56]) == u64(mark, 56):
                marks.append((u64(mark, 8), i64(mark, 16), i64(mark, 24), u32(mark, 32),
                              i64(mark, 48)))
        if not marks:
            raise Damaged(self.directory + "/control", 4096, "both durable marks are damaged")
        _, self.durable, self.mark_segment, self.mark_position, self.start = max(marks)

    def read(self):
        self.read_mark()
        names = os.listdir(os.path.join(self.store, self.directory))
        bases = sorted(int(n[:20]) for n in names
                       if len(n) == 24 and n.endswith(".log") and n[:20].isdigit())
        self.bases = bases
        self.end = max(self.mark_segment, 0)
        self.epoch = 0
        if self.durable > 0:
            before = [base for base in bases if base <= self.start]
            if not before:
                raise Damaged(self.directory, 0, "the first segment is missing")
            self.end = before[-1]
        while self.end in bases:
            before = self.end
            if not self.read_segment(before) or self.end == before:
                break
        if self.end < self.durable:
            raise Damaged(self.directory, 0, "ends at %d, durable is %d" % (self.end, self.durable))

    def read_segment(self, base):
        """False: nothing of it ever got to the disk."""
        name = "%020d.log" % base
        data = self.file(name)
        where = self.directory + "/" + name
        durable_here = base < self.durable
        if len(data) < 128 or not any(data[:128]):
            if durable_here:
                raise Damaged(where, 0, "the header is missing")
            return False
        if data[:8] != b"RILLSEG1" or xxh3(data[:120]) != u64(data, 120):
            raise Damaged(where, 0, "the header does not verify")
        if (i64(data, 16), data[32:48], u32(data, 48), u64(data, 64)) != (
                base, self.topic.id, self.number, len(data)):
            raise Damaged(where, 0, "the header is another segment's, or the size another")
        at, why = self.read_batches(where, data, u64(data, 24))
        if data[8:10] == b"\2\0" and u32(data, 12) & 1 and self.end != u64(data, 72):
            raise Damaged(where, at, "a compacted segment ends elsewhere than its header says")
        if self.end < self.durable and (self.end == base or self.end not in self.bases):
            raise Damaged(where, at, why)
        return True

    def read_batches(self, where, data, salt):
        """Where they end, and why: what comes after the last one means nothing."""
        at = 128
        while at + 64 <= len(data):
            size = u32(data, at + 20)
            batch = data[at:at + size]
            whole = size >= 64 and size % 8 == 0 and len(batch) == size
            if not whole or batch_sum(salt, batch) != u64(batch, 0):
                return at, "a durable batch does not verify"
            if i64(batch, 8) != self.end or i32(batch, 16) < self.epoch:
                return at, "a durable batch is not the one that follows"
            try:
                for place, record in enumerate(records_of(batch)):
                    if (self.end + place if record is None else record[0]) >= self.start:
                        self.records.append(record)
            except ValueError as error:
                raise Damaged(where, at, str(error))
            self.epoch = i32(batch, 16)
            self.end += u32(batch, 28) + 1
            at += size
        return at, "durable batches are missing behind the last one"

    def crc(self):
        if None in self.records:
            return "--------"
        crc = 0
        for offset, time, key, value, headers in self.records:
            parts = [struct.pack("<qq", offset, time)]
            for field in (key, value):
                parts.append(struct.pack("<i", -1 if field is None else len(field)))
                parts.append(field or b"")
            parts.append(struct.pack("<i", len(headers)))
            for name, content in headers:
                parts += [struct.pack("<i", len(name)), name,
                          struct.pack("<i", -1 if content is None else len(content)),
                          content or b""]
            crc = zlib.crc32(b"".join(parts), crc)
        return "%08x" % crc


# ---- A store -----------------------------------------------------------------

class Topic:
    def __init__(self, name, value):
        self.name, self.id = name, value[:16]
        self.partition_count = u32(value, 24)


class Store:
    def __init__(self, path):
        self.topics, self.partitions, self.commits, self.damages = [], [], [], []
        try:
            self.read(path)
        except Damaged as damage:
            self.damages.append(damage)
        for partition in self.partitions:
            self.damages += partition.damages

    def read(self, path):
        with open(os.path.join(path, "STORE"), "rb") as f:
            data = f.read()
        if data[:8] != b"RILLSTO1" or len(data) < 64 or xxh3(data[:56]) != u64(data, 56):
            raise Damaged("STORE", 0, "does not verify")
        commits = []
        for key, value in Catalogue(path).items():
            if len(value) < 8 or u64(value, len(value) - 8) != \
                    xxh3(value[:-8]) ^ avalanche(xxh3(key)):
                self.damages.append(Damaged("meta/data.mdb", 0, "key %r does not verify" % key))
            elif key[:1] == b"T":
                self.topics.append(Topic(key[1:].decode(), value))
            elif key[:1] == b"O":
                group, rest = key[1:].split(b"\0", 1)
                commits.append((group.decode(), rest[:16], int.from_bytes(rest[16:20], "big"),
                                i64(value, 0)))
        for topic in self.topics:
            self.partitions += [Partition(path, topic, n) for n in range(topic.partition_count)]
        names = {topic.id: topic.name for topic in self.topics}
        ends = {(p.topic.id, p.number): p.end for p in self.partitions}
        for group, topic_id, number, offset in commits:
            if topic_id in names: # else left by a topic that is gone
                end = ends.get((topic_id, number), offset)
                self.commits.append((group, names[topic_id], number, min(offset, end)))

    def lines(self):
        for topic in self.topics:
            yield "topic %s %d" % (topic.name, topic.partition_count)
        for p in self.partitions:
            yield "partition %s %d %d %d %d %s" % (
                p.topic.name, p.number, p.start, p.end, len(p.records), p.crc())
        for commit in sorted(self.commits):
            yield "commit %s %s %d %d" % commit
        for p in self.partitions:
            yield "durable %s %d %d" % (p.topic.name, p.number, p.durable)
        for damage in self.damages:
            yield "damage %s %d %s" % (damage.file, damage.position, damage.why)


def serve():
    for line in sys.stdin:
        try:
            answer = list(Store(line.rstrip("\n")).lines())
        except OSError as error:
            answer = ["damage STORE 0 %s" % error.strerror]
        print("\n".join(answer + ["", ""]), end="", flush=True)


def show_records(path, where):
    name, number = where.rsplit("/", 1)
    for p in Store(path).partitions:
        if (p.topic.name, p.number) == (name, int(number)):
            for record in p.records:
                if record is None:
                    print("-", "-", "zstd", "zstd", sep="\t")
                    continue
                offset, time, key, value, _ = record
                print(offset, time, "-" if key is None else key.hex(),
                      "-" if value is None else value.hex(), sep="\t")


def main(arguments):
    if arguments == ["--serve"]:
        serve()
    elif len(arguments) == 3 and arguments[0] == "--records":
        show_records(arguments[2], arguments[1])
    elif len(arguments) == 1 and os.path.exists(os.path.join(arguments[0], "STORE")):
        store = Store(arguments[0])
        print("\n".join(store.lines()))
        return 1 if store.damages else 0
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
