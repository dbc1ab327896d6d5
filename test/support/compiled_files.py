# SPDX-License-Identifier: GPL-2.0-or-later
"""compiled_files.py BUILD FOLDER: what the build compiles of a folder of the source, one file a line: the files themselves, or
those that meson writes to compile several of them as one. Fails when one of the folder's *.cc is not among them."""
import json
import pathlib
import re
import sys

build = pathlib.Path(sys.argv[1]).resolve()
folder = pathlib.Path(sys.argv[2]).resolve()
missing = set(folder.rglob("*.cc"))
for command in json.loads((build / "compile_commands.json").read_text()):
    file = (build / command["file"]).resolve()
    parts = {file}
    if file.is_relative_to(build):
        parts = {pathlib.Path(part).resolve() for part in re.findall(r"^#include ?<(.*)>$", file.read_text(), re.M)}
    if missing & parts:
        print(file)
        missing -= parts
if missing:
    sys.exit("not compiled: " + ", ".join(str(file) for file in sorted(missing)))
