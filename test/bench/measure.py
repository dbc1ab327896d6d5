# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures cells (rows.py): peers in turn, forwards in one round and backwards in the next."""
import collections
import contextlib
import dataclasses
import os
import re
import sys

from images import Images
from limits import NullLimit
from loads import Conditions
from peers import LARGEST_IMAGE_BYTES
from rows import Cell
from workloads import WORKLOADS, prepare


class Measurement:
    def __init__(self, scratch, peers, rounds, seconds):
        self.scratch, self.peers, self.rounds = scratch, peers, rounds
        self.conditions = Conditions(scratch.folder("tmpfs", "logs"), seconds, at_most=7 * seconds)
        self.images = Images(scratch)
        self.figures = collections.defaultdict(list)  # of each cell, one for each round

    def measure(self, cells):
        sessions = collections.defaultdict(set)
        for cell in cells:
            if self.peers[cell.peer].can_serve():
                sessions[cell.place, WORKLOADS[cell.workload].session].add(cell)
        for (place, session), wanted in sorted(sessions.items()):
            print(f"  {place}: {session}", file=sys.stderr, flush=True)
            workloads = [each for each in WORKLOADS.values() if any(cell.workload == each.name for cell in wanted)]
            names = sorted({cell.peer for cell in wanted})
            folders = {name: self.scratch.folder(place, re.sub(r"\W+", "-", f"{session} {name}")) for name in names}
            if workloads[0].repeatable:
                self.on_standing_peers(place, folders, workloads, wanted)
            else:
                self.on_new_peers(place, folders, workloads, wanted)
        return self.figures

    def turns(self, folders):
        for number in range(self.rounds):
            yield from folders.items() if number % 2 == 0 else reversed(folders.items())

    def on_standing_peers(self, place, folders, workloads, wanted):
        """Each is set up once; those that lock or change their image have one of their own."""
        files = {}
        shared = self.images.random(place, LARGEST_IMAGE_BYTES)
        with contextlib.ExitStack() as stack:
            for name, folder in folders.items():
                keeps = self.peers[name].keeps_changes
                image = self.images.copy_of(shared, folder) if keeps else shared
                if keeps:
                    stack.callback(image.unlink)
                files[name] = stack.enter_context(self.peers[name].serve(image, folder))
                if keeps:
                    prepare(files[name], workloads[0].prepared, self.conditions)
            for workload in workloads:
                for name, _ in self.turns(folders):
                    if (cell := Cell(name, workload.name, place)) in wanted:
                        self.measure_once(cell, files[name])

    def on_new_peers(self, place, folders, workloads, wanted):
        for name, folder in self.turns(folders):
            peer = self.peers[name]
            with self.image_for(place, peer, workloads[0], folder) as image, peer.serve(image, folder) as file:
                for workload in workloads:
                    if (cell := Cell(name, workload.name, place)) in wanted:
                        figure = self.measure_once(cell, file)
                        if workload.prepared == "nothing":
                            peer.check_written(folder, figure.written)

    @contextlib.contextmanager
    def image_for(self, place, peer, workload, folder):
        if workload.prepared == "files":
            image = self.images.copy_of(self.images.files(place), folder)
            yield image
            image.unlink()
        elif isinstance(peer, NullLimit):
            yield self.images.empty(place, peer.image_bytes())
        else:
            yield self.images.random(place, peer.image_bytes())

    def measure_once(self, cell, file):
        if cell.place == "disk":
            os.sync()
        workload = WORKLOADS[cell.workload]
        conditions = dataclasses.replace(self.conditions, direct=self.peers[cell.peer].direct)
        if workload.repeatable:
            conditions = dataclasses.replace(conditions, at_most=conditions.seconds)
        figure = workload.work.run(file, conditions)
        self.figures[cell].append(figure)
        return figure
