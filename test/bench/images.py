# SPDX-License-Identifier: GPL-2.0-or-later
"""The images that are worked on; each kind is made once for each place and size."""
import os

import filesystem
from machine import run, write_random


class Images:
    def __init__(self, scratch):
        self.scratch = scratch
        self.made = {}

    def random(self, place, size):
        """No block of it is zeros."""
        return self.once(place, f"random.{size}", lambda path: write_random(path, size))

    def copy_of(self, image, folder):
        """Beside what a peer keeps in `folder`; remove it when it is used no more."""
        copy = folder / "own.img"
        run("cp", "--sparse=always", image, copy)
        return copy

    def empty(self, place, size):
        """A hole: blocks are allocated by who writes to it."""
        image = self.once(place, f"empty.{size}", lambda path: path.touch())
        os.truncate(image, 0)
        os.truncate(image, size)
        return image

    def files(self, place):
        return self.once(place, "files", filesystem.make_image)

    def once(self, place, kind, make):
        if (place, kind) not in self.made:
            path = self.scratch.folder(place, kind) / "disk.img"
            make(path)
            self.made[place, kind] = path
        return self.made[place, kind]
