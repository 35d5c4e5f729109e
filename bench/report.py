#!/usr/bin/env python3
"""report.py - a run of the benchmark as Markdown and SVG.

usage: bench/report.py RESULTS DIRECTORY

RESULTS is what the benchmark printed. Into DIRECTORY go report.md, which has the machine,
a table against peers that can stand in a README, the goals, and every figure; and the
plots that it shows. What was not measured is left out, or said to be so.
"""

import os
import re
import sys

import goals
import plot
from results import Results

SYSTEMS = ["rill", "plain file"] + goals.PEERS

# What a reader compares: a line of the table against peers, the workload, the unit.
COMPARED = [
    ("append, one per call, 100 B", "append 100 B, 1 per call", "records/s"),
    ("append, one per call, 1000 B", "append 1000 B, 1 per call", "records/s"),
    ("append, batches of 100, 100 B", "append 100 B, batches of 100", "records/s"),
    ("append, batches of 100, 1000 B", "append 1000 B, batches of 100", "records/s"),
    ("append, batches of 1000, 100 B", "append 100 B, batches of 1000", "records/s"),
    ("append, batches of 1000, 1000 B", "append 1000 B, batches of 1000", "records/s"),
    ("replay, 100 B", "replay 100 B, each value hashed", "records/s"),
    ("replay, 1000 B", "replay 1000 B, each value hashed", "records/s"),
    ("produce and consume, 100 B", "produce and consume 100 B, batches of 100", "records/s"),
    ("produce and consume, 1000 B", "produce and consume 1000 B, batches of 100", "records/s"),
    ("durable append, 1 thread", "durable append 100 B, 1 thread", "records/s"),
    ("durable append, 16 threads", "durable append 100 B, 16 threads", "records/s"),
    ("durable append, 100 per call", "durable append 100 B, batches of 100", "records/s"),
    ("durable offset commits", "offset commit", "commits/s"),
    ("lookup by offset, ns", "lookup by offset, 500000 records", "ns/lookup"),
]


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def against_peers(r):
    there = [s for s in SYSTEMS if any(r.value(w, s, u) is not None for _, w, u in COMPARED)]
    rows = []
    for label, workload, unit in COMPARED:
        values = [r.value(workload, system, unit) for system in there]
        if any(v is not None for v in values):
            rows.append([label] + ["" if v is None else plot.short(v) for v in values])
    return table(["records/s"] + there, rows)


def goals_table(r):
    rows = []
    for goal in goals.goals(r):
        got, done = goals.ratio(goal), goals.reached(goal)
        wanted = f"{'at most' if goal.most else 'at least'} {goal.wanted:g} {goal.unit}"
        rows.append([goal.text, wanted, "not measured" if got is None else f"{got:.3g}",
                     "" if done is None else "yes" if done else "**no**"])
    return table(["goal", "wanted", "reached", ""], rows)


def all_figures(r):
    rows = [[workload, system, f"{plot.short(f.value)} [{plot.short(f.least)}, "
             f"{plot.short(f.most)}]", unit, f.synced]
            for (workload, system, unit), f in r.figures.items()]
    return table(["workload", "system", "median [least, most]", "unit", "synced"], rows)


def tuning_tables(r):
    """One per setting: its values down, what was measured across."""
    parts = []
    for workload in r.workloads():
        if not workload.startswith("tuning, "):
            continue
        mine = {(s, u): f.value for (w, s, u), f in r.figures.items() if w == workload}
        units = list(dict.fromkeys(unit for _, unit in mine))
        rows = [[system] + [plot.short(mine[system, u]) if (system, u) in mine else ""
                            for u in units]
                for system in dict.fromkeys(system for system, _ in mine)]
        parts.append(table([workload.removeprefix("tuning, ")] + units, rows))
    return parts or ["Not measured."]


# ---- Plots ----------------------------------------------------------------


def over_numbers(r, pattern, one=None):
    """Throughput per system over the number in the workload's name; one: the name for 1."""
    series = {}
    for workload in r.workloads():
        match = re.fullmatch(pattern, workload)
        if not match and workload != one:
            continue
        number = int(match.group(1)) if match else 1
        for system in r.systems(workload):
            series.setdefault(system, []).append((number, r.value(workload, system)))
    return {system: sorted(points) for system, points in series.items() if len(points) > 1}


def shares(histogram):
    """The share of all in each octave's eighth, over microseconds."""
    total = sum(count for _, count in histogram.counts)
    return [(max(start, 1) / 1000, count / total * 100) for start, count in histogram.counts]


def histogram_plot(r, workload):
    series = {system: shares(h) for (w, system), h in r.histograms.items() if w == workload}
    if not series:
        return None
    return plot.chart(workload, "microseconds", "% of all, per 1/8 octave", series, y_log=False,
                      marks=False)


def throughput_plot(title, x_label, series):
    if not series:
        return None
    ticks = sorted({x for points in series.values() for x, _ in points})
    return plot.chart(title, x_label, "records/s", series, ticks)


def plots(r):
    """(file, SVG) of those for which there is something to plot."""
    made = []
    for size in (100, 1000):
        made.append((f"append-{size}.svg", throughput_plot(
            f"append {size} B", "records per call",
            over_numbers(r, rf"append {size} B, batches of (\d+)",
                         f"append {size} B, 1 per call"))))
        made.append((f"producers-{size}.svg", throughput_plot(
            f"append {size} B, batches of 100", "producers",
            over_numbers(r, rf"append {size} B, batches of 100, (\d+) producers?"))))
    made.append(("durable.svg", throughput_plot(
        "durable append 100 B", "threads",
        over_numbers(r, r"durable append 100 B, (\d+) threads?"))))
    for workload in dict.fromkeys(w for w, _ in r.histograms):
        if workload.startswith(("hand-off to", "durable append", "append ")):
            file = re.sub(r"[^a-z0-9]+", "-", workload.lower()) + ".svg"
            made.append((file, histogram_plot(r, workload)))
    return [(file, svg) for file, svg in made if svg is not None]


# ---- The report -----------------------------------------------------------


def report(r, files):
    parts = ["# Benchmark", "\n".join(["```"] + r.notes + ["```"]), "## Against peers",
             against_peers(r), "## Goals",
             "L: one thread copies each record into mapped memory and takes an XXH3 of it. D: one "
             "thread writes a record's bytes with `pwritev2(RWF_DSYNC)`. Both in this run.",
             goals_table(r), "## Tuning"]
    parts += tuning_tables(r) + ["## Plots"]
    parts += [f"![{file.removesuffix('.svg')}]({file})" for file in files]
    parts += ["## Every figure", all_figures(r)]
    return "\n\n".join(parts) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: bench/report.py RESULTS DIRECTORY")
    with open(sys.argv[1], encoding="utf-8") as file:
        results = Results(file)
    directory = sys.argv[2]
    os.makedirs(directory, exist_ok=True)
    made = plots(results)
    for name, svg in made:
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(svg)
    with open(os.path.join(directory, "report.md"), "w", encoding="utf-8") as file:
        file.write(report(results, [name for name, _ in made]))
    print(os.path.join(directory, "report.md"))


if __name__ == "__main__":
    main()
