"""goals.py - what rill shall reach, as ratios within one run, and what it did reach.

L is one thread that copies each record into mapped memory and takes an XXH3 of it; D is
one thread that writes the bytes of a record with pwritev2(RWF_DSYNC), again and again.
"""

from collections import namedtuple

RECORDS = "records/s"
PEERS = ["LMDB", "SQLite", "RocksDB", "Redis Streams", "NATS JetStream", "ZeroMQ", "nng"]
BATCHES = ["1 per call", "batches of 10", "batches of 100", "batches of 1000"]

# value and base may be None: not measured. most: the goal is to stay below.
Goal = namedtuple("Goal", "text value base unit wanted most")


def least(text, value, base, wanted, unit="times"):
    return Goal(text, value, base, unit, wanted, False)


def at_most(text, value, base, wanted, unit="times"):
    return Goal(text, value, base, unit, wanted, True)


def ratio(goal):
    if goal.value is None or goal.base is None or goal.base == 0:
        return None
    return goal.value / goal.base


def reached(goal):
    got = ratio(goal)
    return None if got is None else got <= goal.wanted if goal.most else got >= goal.wanted


def best(values, choose=max):
    there = [v for v in values if v is not None]
    return choose(there) if there else None


def append_goals(r):
    unit_100 = r.value("append 100 B", "memcpy+XXH3, hot file")
    unit_1000 = r.value("append 1000 B", "memcpy+XXH3, hot file")
    rolls = r.workload_like("append 100 B, batches of 100, ", " MiB through rolls")
    prepared = "append 100 B, batches of 100, prepared segments"
    return [
        least("100 B, batches of 100, prepared segments", r.value(prepared, "rill"), unit_100,
              0.80, "L"),
        least(f"100 B, batches of 100, {rolls.split(', ')[-1] if rolls else 'through rolls'}",
              r.value(rolls, "rill, 1 GiB is kept"), unit_100, 0.70, "L"),
        least("100 B, one record per send(), batched inside",
              r.value("append 100 B", "rill send()"), unit_100, 0.55, "L"),
        least("100 B, one record per call, published at once",
              r.value("append 100 B, 1 per call", "rill"), unit_100, 0.40, "L"),
        least("1000 B, batches of 100, prepared segments",
              r.value("append 1000 B, batches of 100, prepared segments", "rill"), unit_1000,
              1.0, "L"),
        least("100 B, batches of 100, 2 producers on one partition",
              r.value("append 100 B, batches of 100, 2 producers", "rill, one partition"),
              unit_100, 1.7, "L"),
        least("100 B, batches of 100, produce and consume at once",
              r.value("produce and consume 100 B, batches of 100", "rill"), unit_100, 0.75, "L"),
        at_most("append of 100 records, p99.9 to p50", r.value(prepared, "rill", "us p99.9"),
                r.value(prepared, "rill", "us p50"), 10),
    ]


def reading_goals(r):
    handoff = "hand-off to a thread, 50000/s"
    few = r.workload_like("lookup by offset, 500000 ")
    return [
        least("replay 100 B, verified, to a pointer walk that verifies",
              r.value("replay 100 B", "rill poll(), verified"),
              r.value("replay 100 B", "pointer walk, XXH3 per 100 records"), 0.80),
        at_most("hand-off p50, spinning, to a cache line's one way",
                r.value(handoff, "rill, spinning", "us p50"),
                r.value("hand-off, a cache line", "ping-pong, one way", "us p50"), 2),
        at_most("hand-off p50, sleeping, to a futex wake",
                r.value(handoff, "rill, sleeping", "us p50"),
                r.value(handoff, "ring in shared memory, futex", "us p50"), 1.2),
        at_most("lookup by offset, 10 million records",
                r.value("lookup by offset, 10000000 records", "rill seek() and poll(), verified",
                        "ns/lookup"), 1000, 1, "us"),
        least("lookup by offset, the best peer's time to rill's",
              best((r.value(few, p, "ns/lookup") for p in PEERS), min),
              r.value(few, "rill", "ns/lookup"), 1.5),
    ]


def durable_goals(r):
    limit = "pwritev2(RWF_DSYNC)"
    unit = r.value("durable append 100 B, 1 thread", limit)
    return [
        least("durable append, 1 thread", r.value("durable append 100 B, 1 thread", "rill"),
              unit, 0.90, "D"),
        least("durable append, 16 threads",
              r.value("durable append 100 B, 16 threads", "rill"), unit, 6, "D"),
        least("durable offset commits, 1 thread", r.value("offset commit", "rill", "commits/s"),
              r.value("offset commit", "pwritev2(RWF_DSYNC)", "commits/s"), 0.80, "D"),
    ]


def size_goals(r):
    segments = r.workload_like("2500 segments in each of 40 ")
    idle = "1000 topics of 10 partitions, empty"
    small = r.workload_like("open a log of ")
    large = next((w for w in reversed(r.workloads()) if w.startswith("open a log of ")), None)
    return [
        at_most("open a store of few segments", r.value(small, "rill, after a clean close", "ms"),
                1, 1, "ms"),
        at_most("open a store of 100,000 segments", r.value(segments, "open", "ms"), 1, 100, "ms"),
        at_most("memory for 100,000 segments", r.value(segments, "resident memory", "MiB"), 1, 10,
                "MiB"),
        at_most("recovery of a log four times as large",
                r.value(large, "rill, after kill -9", "ms") if large != small else None,
                r.value(small, "rill, after kill -9", "ms"), 1.5),
        at_most("an idle partition's memory", r.value(idle, "resident memory", "MiB"),
                10000 / 1024, 1, "KiB"),
    ]


def append_best(r, system, size):
    return best(r.value(f"append {size} B, {batch}", system) for batch in BATCHES)


def together_best(r, system, size):
    return best(r.value(f"produce and consume {size} B, {batch}", system) for batch in BATCHES)


def replay_of(r, system, size):
    return r.value(f"replay {size} B, each value hashed", system)


def handoff_p50(r, rate, system):
    return best((r.value(f"hand-off to a thread, {rate}/s", f"{system}, {way}", "us p50")
                 for way in ("sleeping", "spinning")), min)


def peer_goals(r):
    goals = []
    for size in (100, 1000):
        for text, of in (("append", append_best), ("replay", replay_of),
                         ("produce and consume", together_best)):
            goals.append(least(f"{text} {size} B, to the best peer", of(r, "rill", size),
                               best(of(r, p, size) for p in PEERS), 3))
            goals.append(least(f"{text} {size} B, to the plain file", of(r, "rill", size),
                               of(r, "plain file", size), 1))
    goals.append(least("hand-off at 50,000/s, the best peer's p50 to rill's",
                       best((handoff_p50(r, 50000, p) for p in PEERS), min),
                       handoff_p50(r, 50000, "rill"), 3))
    return goals


def goals(r):
    return append_goals(r) + reading_goals(r) + durable_goals(r) + size_goals(r) + peer_goals(r)
