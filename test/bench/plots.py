# SPDX-License-Identifier: GPL-2.0-or-later
"""Curves of growth as SVG, by gnuplot: figures on the left, the daemon's memory on the right."""
from machine import run

SCRIPT = """
set terminal svg size 640,360 dynamic font "sans-serif,11" background "white"
set output "{path}"
set title "{title} ({transport})"
set xlabel "{x}"
set ylabel "{y}"
set y2label "MiB of memory"
set ytics nomirror
set y2tics
set yrange [0:*]
set y2range [0:*]
set format y "%.0s%c"
set format x "{format}"
set key outside below
set grid ytics
{logscale}
plot {series}
"""


def series(curve):
    """Each with its data in the script itself."""
    names = sorted({name for point in curve.points for name in point} - {"x", "memory"})
    for name in names:
        yield name, "x1y1", [(point["x"], point[name]) for point in curve.points if name in point]
    yield "memory", "x1y2", [(point["x"], point["memory"] / (1 << 20)) for point in curve.points]


def draw(curve, transport, folder):
    folder.mkdir(parents=True, exist_ok=True)
    blocks, plots = [], []
    for number, (name, axes, pairs) in enumerate(series(curve)):
        blocks.append(f"$data{number} << END\n" + "".join(f"{x} {y}\n" for x, y in pairs) + "END\n")
        dashes = " dashtype 2" if name == "memory" else ""
        plots.append(f'$data{number} using 1:2 axes {axes} with linespoints linewidth 2{dashes} title "{name}"')
    script = SCRIPT.format(path=folder / f"growth-{curve.name}.svg", title=curve.title, transport=transport, x=curve.x, y=curve.y,
                           format="%.0s%c" if curve.logarithmic else "%g",
                           logscale="set logscale x" if curve.logarithmic else "", series=", ".join(plots))
    run("gnuplot", input="".join(blocks) + script)
