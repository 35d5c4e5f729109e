"""results.py - what a run of the benchmark printed, as a table to ask."""

from collections import namedtuple

Figure = namedtuple("Figure", "value least most synced")
Histogram = namedtuple("Histogram", "synced counts")  # counts: [(from ns, how many)]


class Results:
    """Figures by (workload, system, unit), in the order in which they were printed."""

    def __init__(self, lines):
        self.notes = []
        self.figures = {}
        self.histograms = {}
        for number, line in enumerate(lines, 1):
            try:
                self._take(line.rstrip("\n"))
            except ValueError as error:
                raise SystemExit(f"line {number} is no figure: {error}: {line!r}") from None

    def _take(self, line):
        fields = line.split("\t")
        if fields[0] == "# histogram":
            _, workload, system, synced, counts = fields
            pairs = (pair.split(":") for pair in counts.split())
            self.histograms[workload, system] = Histogram(
                synced, [(int(start), int(count)) for start, count in pairs]
            )
        elif line.startswith("#"):
            if len(fields) == 1:  # not the names of the columns
                self.notes.append(line[1:].removeprefix(" "))
        elif line:
            workload, system, value, unit, synced, least, most = fields
            self.figures[workload, system, unit] = Figure(
                float(value), float(least), float(most), synced
            )

    def value(self, workload, system, unit="records/s"):
        """The median, or None if it was not measured."""
        figure = self.figures.get((workload, system, unit))
        return None if figure is None else figure.value

    def workloads(self):
        return list(dict.fromkeys(workload for workload, _, _ in self.figures))

    def systems(self, workload, unit="records/s"):
        return [s for w, s, u in self.figures if w == workload and u == unit]

    def workload_like(self, start, end=""):
        """The one whose name has a number in it that depends on how much was measured."""
        for workload in self.workloads():
            if workload.startswith(start) and workload.endswith(end):
                return workload
        return None
