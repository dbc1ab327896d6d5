# SPDX-License-Identifier: GPL-2.0-or-later
"""Ratios of medians, as a table and as JSON."""
import dataclasses
import statistics
from typing import NamedTuple


class Outcome(NamedTuple):
    contest: object
    reference: object   # the cell that counts, or None where nothing was measured
    ratio: float
    target: float
    reached: bool


def median(figures, cell, what):
    return statistics.median(getattr(figure, what) for figure in figures[cell])


def judge(contest, figures, tmpfs_ratios):
    """None when its target depends on a ratio that was not measured."""
    if any(cell not in figures for cell in contest.cells()):
        return Outcome(contest, None, 0, contest.target, False)
    fastest = max(contest.references, key=lambda cell: median(figures, cell, "rate"))
    ratio = median(figures, contest.subject, contest.figure) / median(figures, fastest, contest.figure)
    target = contest.target
    if contest.of_tmpfs:
        target *= tmpfs_ratios.get(key(contest), float("nan"))
    return Outcome(contest, fastest, ratio, target, ratio <= target if contest.figure == "p999" else ratio >= target)


def key(contest):
    """The same on disk and on tmpfs."""
    return contest.subject.peer, contest.subject.workload, contest.references[0].peer, contest.figure


def outcomes(contests, figures):
    """In the order of the contests; those whose cells were left out by choice are not in `contests`."""
    tmpfs_ratios = {}
    judged = []
    for contest in sorted(contests, key=lambda each: each.of_tmpfs):
        outcome = judge(contest, figures, tmpfs_ratios)
        judged.append(outcome)
        if contest.subject.place == "tmpfs" and outcome.reference:
            tmpfs_ratios[key(contest)] = outcome.ratio
    return sorted(judged, key=lambda outcome: outcome.contest.row)


def amount(value, figure):
    return f"{value / 1000:.0f} us" if figure == "p999" else f"{value:.0f}/s" if value >= 10 else f"{value:.3f}/s"


def line(outcome, figures):
    contest, reference = outcome.contest, outcome.reference
    work = contest.subject.workload + (", p99.9" if contest.figure == "p999" else "")
    work += ", on disk" if contest.subject.place == "disk" else ""
    head = f"{contest.row:<3} {work:<44} {contest.subject.peer:<28}"
    if reference is None:
        return f"{head} {'not to be had with this dmsnap':<50}"
    mine, its = median(figures, contest.subject, contest.figure), median(figures, reference, contest.figure)
    beside = reference.peer if reference.workload == contest.subject.workload else f"{reference.peer}: {reference.workload}"
    bound = "<=" if contest.figure == "p999" else ">="
    verdict = "reached" if outcome.reached else "short"
    return (f"{head} {amount(mine, contest.figure):>10} {beside:<28} {amount(its, contest.figure):>10} "
            f"{outcome.ratio:>6.2f} {bound} {outcome.target:<5.2f} {verdict}")


def as_json(outcome, figures, transport):
    contest = outcome.contest
    return {"row": contest.row, "transport": transport, **dict(zip(("peer", "workload", "place"), contest.subject)),
            "reference": outcome.reference and outcome.reference._asdict(), "figure": contest.figure,
            "ratio": outcome.ratio, "target": outcome.target, "reached": outcome.reached,
            "measured": [{**cell._asdict(), "figures": [dataclasses.asdict(figure) for figure in figures[cell]]}
                         for cell in contest.cells() if cell in figures]}
