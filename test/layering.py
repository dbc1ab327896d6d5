# SPDX-License-Identifier: GPL-2.0-or-later
"""Each folder of src/ sees include/ and base/ only; daemon/ puts the spokes together, cli/ is the command over it. What is
included is a header."""
import pathlib
import re
import sys

SPOKES = ["block", "store", "snapshot", "control", "set", "stream", "host", "fuse"]
MAY_INCLUDE = {"base": []}
MAY_INCLUDE |= {spoke: ["base"] for spoke in SPOKES}
# Tools on the format stand on its reader and writer, and on the table that tells whether a chunk occurs twice.
MAY_INCLUDE["tools"] = ["base", "store", "snapshot"]
MAY_INCLUDE["daemon"] = ["base", *SPOKES]
MAY_INCLUDE["cli"] = ["base", "block", "control", "set", "stream", "host", "tools", "daemon"]
# A library of a kind is named in one place; Boost costs too much compile time to be anywhere but in cli/.
ONLY_IN = {"boost/": "cli", "spdlog/": "base", "fuse_lowlevel.h": "fuse", "png.h": "cli", "zstd.h": "stream"}

source = pathlib.Path(__file__).parent.parent / "src"
complaints = []
for file in sorted(source.rglob("*.[ch]*")):
    layer = file.relative_to(source).parts[0]
    for included in re.findall(r'^#include [<"]([^>"]+)[>"]', file.read_text(), re.M):
        other = included.split("/")[0]
        if other in MAY_INCLUDE and other != layer and other not in MAY_INCLUDE[layer]:
            complaints.append(f"{file}: {layer}/ must not include {included}")
        for prefix, home in ONLY_IN.items():
            if included.startswith(prefix) and layer != home:
                complaints.append(f"{file}: {included} belongs to {home}/")
        if not included.endswith((".h", ".hpp")) and "." in included:
            complaints.append(f"{file}: {included} is no header")
print("\n".join(complaints) or "layering: every include is allowed")
sys.exit(bool(complaints))
