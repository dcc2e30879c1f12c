# SPDX-License-Identifier: Apache-2.0
"""What is made of samples: medians, spreads, ratios within a round, and what got dearer."""

from dataclasses import dataclass


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True)
class Spread:
    """A median and the extremes around it."""

    middle: float
    low: float
    high: float


def spread(values):
    """Of the samples that there are (None: one that could not be taken); None if there is none."""
    there = [value for value in values if value is not None]
    return Spread(median(there), min(there), max(there)) if there else None


def ratios(values, base):
    """Round by round. Rounds in which either was not measured, or the base is nothing, do not count."""
    return [value / under for value, under in zip(values, base) if value is not None and under]


@dataclass(frozen=True)
class Change:
    """A figure before and after, as spreads; ratio: of medians."""

    what: str
    before: Spread
    after: Spread
    margin: float

    @property
    def ratio(self):
        return self.after.middle / self.before.middle

    @property
    def dearer(self):
        """Beyond noise: even the cheapest run costs more than the old median and the margin. Some figures have
        two rhythms, whose medians move without a cause."""
        return self.after.low > self.before.middle * (1 + self.margin)

    @property
    def cheaper(self):
        return self.after.high < self.before.middle * (1 - self.margin)


def changes(before, after, margin):
    """Of each figure that both have, in the order of @before. They map a name to samples."""
    found = []
    for what, values in before.items():
        was, now = spread(values), spread(after.get(what, []))
        if was and now and was.middle:
            found.append(Change(what, was, now, margin))
    return found
