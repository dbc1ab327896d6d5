#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""check_map.py DUMP IMAGE_BYTES MAP.svg MAP.png: both pictures show the cells that the dump's exceptions make."""
import re
import struct
import sys
import xml.etree.ElementTree
import zlib

COLUMNS, ROWS, SHADES = 128, 64, 7
CELL, MARGIN = 8, 8  # of the PNG
SVG = "{http://www.w3.org/2000/svg}"


def shades_of_dump(path, image_bytes):
    """The shade of each cell, from an entry for each exception."""
    text = open(path).read()
    chunk = 512 * int(re.search(r"^chunk-sectors (\d+)$", text, re.M)[1])
    chunks = -(-image_bytes // chunk)
    cell = -(-chunks // (COLUMNS * ROWS))
    copied = [0] * -(-chunks // cell)
    for origin, length in re.findall(r"^(\d+) \d+ (\d+)$", text, re.M):
        for number in range(int(origin), int(origin) + int(length)):
            copied[number // cell] += 1
    whole = [min(cell, chunks - i * cell) for i in range(len(copied))]
    return [0 if n == 0 else SHADES - 1 if n == all_ else 1 + n * (SHADES - 2) // all_ for n, all_ in zip(copied, whole)]


def shades_of_svg(path):
    root = xml.etree.ElementTree.parse(path).getroot()
    if root.tag != f"{SVG}svg" or not root.findtext(f"{SVG}title"):
        sys.exit(f"{path}: no SVG with a title")
    found = {}
    for group in root.find(f"{SVG}g"):
        shade = int(group.get("class")[1:])
        for each in group:
            x, y, width, height = (int(each.get(name)) for name in ("x", "y", "width", "height"))
            for place in ((y + j) * COLUMNS + x + i for i in range(width) for j in range(height)):
                if place in found:
                    sys.exit(f"{path}: cell {place} is drawn twice")
                found[place] = shade
    return [found.get(i) for i in range(max(found) + 1)]


def png_rows(path):
    """(width, rows of palette numbers) of a PNG of at most 16 colours, as the specification says."""
    data = open(path, "rb").read()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        sys.exit(f"{path}: no PNG")
    at, parts = 8, {}
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if zlib.crc32(kind + body) != struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]:
            sys.exit(f"{path}: checksum of {kind}")
        parts[kind] = parts.get(kind, b"") + body
        at += 12 + length
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    if (depth, colour, interlaced) != (4, 3, 0) or b"IEND" not in parts or len(parts[b"PLTE"]) < 3 * SHADES:
        sys.exit(f"{path}: depth {depth}, colour type {colour}, palette of {len(parts[b'PLTE']) // 3}")
    stride = (width + 1) // 2
    raw = zlib.decompress(parts[b"IDAT"])
    rows = [raw[i:i + 1 + stride] for i in range(0, len(raw), 1 + stride)]
    if len(rows) != height or any(row[0] != 0 for row in rows):
        sys.exit(f"{path}: {len(rows)} rows of {height}, or filtered ones, which a palette is better without")
    return width, [[half for byte in row[1:] for half in (byte >> 4, byte & 15)][:width] for row in rows]


def shades_of_png(path, cells):
    width, rows = png_rows(path)
    if width != MARGIN + COLUMNS * CELL + MARGIN:
        sys.exit(f"{path}: {width} pixels wide")
    return [rows[MARGIN + i // COLUMNS * CELL + CELL // 2][MARGIN + i % COLUMNS * CELL + CELL // 2] for i in range(cells)]


def main():
    dump, image_bytes, svg, png = sys.argv[1:]
    expected = shades_of_dump(dump, int(image_bytes))
    for path, found in ((svg, shades_of_svg(svg)), (png, shades_of_png(png, len(expected)))):
        wrong = [i for i, (a, b) in enumerate(zip(expected, found)) if a != b]
        if wrong or len(found) != len(expected):
            sys.exit(f"{path}: {len(found)} cells of {len(expected)}, wrong are {wrong[:10]}")


if __name__ == "__main__":
    main()
