"""Figures as text, and as the page `docs/measured.md` with its data beside it."""

import json
import os
import platform
import re
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
DATA = DOCS / "measured"


def text(table):
    """A table in columns."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if not number else cell.rjust(width) for number, (cell, width) in enumerate(zip(row, widths)))
        for row in table
    )


def kept(name):
    """The data written before; empty if there is none."""
    file = DATA / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def write(name, table, data, arguments, plot=None, extent=None):
    """Puts the table where the page has it (between two comments of this name), the data and the plot beside the page."""
    DATA.mkdir(exist_ok=True)
    machine = {"processors": os.cpu_count(), "kernel": platform.release(), "date": time.strftime("%Y-%m-%d")}
    machine["rounds"] = arguments.rounds
    if not extent:
        machine |= {"seconds": arguments.seconds, "connections": arguments.connections}
        extent = f"{arguments.seconds} s"
    (DATA / f"{name}.json").write_text(json.dumps({"machine": machine, **data}, indent=1, ensure_ascii=False) + "\n")
    if plot:
        (DATA / f"{name}.svg").write_text(plot)
    rows = [f"| {' | '.join(row)} |" for row in table]
    rows.insert(1, "|---" + "|---:" * (len(table[0]) - 1) + "|")
    page = DOCS / "measured.md"
    places = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    told = f"{machine['processors']} processors, Linux {machine['kernel'].partition('-')[0]}, {machine['date']}, {arguments.rounds} × {extent}"
    if plot:
        told += f", [CPU per request as a plot](measured/{name}.svg)"
    told += f", [data](measured/{name}.json)"
    content, count = places.subn(lambda place: f"{place[1]}\n{told}:\n\n" + "\n".join(rows) + f"\n\n{place[2]}", page.read_text())
    if count != 1:
        raise SystemExit(f"{page} has no place for {name}")
    page.write_text(content)


def bars(title, unit, groups):
    """A plot: for each group a bar for each (name, value), in proportion to the group's largest."""
    width, label, line = 760, 210, 16
    colours = ("#1f6f8b", "#b8c4cc")
    parts, y = [], 40
    for group, rows in groups:
        parts.append(f'<text x="8" y="{y}" font-weight="bold">{group}</text>')
        largest = max(value for _, value in rows)
        for name, value in rows:
            y += line
            length = max(1, (width - label - 90) * value / largest)
            colour = colours[0] if name.startswith("ferricorn") else colours[1]
            parts.append(f'<text x="{label - 8}" y="{y}" text-anchor="end">{name}</text>')
            parts.append(f'<rect x="{label}" y="{y - 10}" width="{length:.1f}" height="11" fill="{colour}"/>')
            parts.append(f'<text x="{label + length + 6:.1f}" y="{y}">{value:.4g}</text>')
        y += line * 2
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" font-family="sans-serif" font-size="11">'
    ground = f'<rect width="{width}" height="{y}" fill="white"/>'
    heading = f'<text x="8" y="18" font-size="13">{title} ({unit})</text>'
    return "\n".join([head, ground, heading, *parts, "</svg>"]) + "\n"
