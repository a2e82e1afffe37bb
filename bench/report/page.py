"""bench/out/report.html: the tables, and percentile plots drawn as inline SVG. Needs no network and no script."""

import html
import math

WIDTH, HEIGHT = 820, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 20, 44
# Told apart also by those who see colours differently.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f", "#8c564b", "#117733",
           "#882255", "#332288", "#999933", "#aa4499")  # fmt: skip
TAIL_TICKS = ((0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"))
TAIL_MAX = 0.99999

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px;margin:.5em 0 2em;display:block;overflow-x:auto}
th,td{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th:first-child,td:first-child,td.words{text-align:left} td.words{white-space:normal}
.holds{color:#006b3c;font-weight:600}.short{color:#b00020;font-weight:600} .note{color:#555;font-size:13px}
svg{max-width:100%;height:auto} svg text{font:11px system-ui,sans-serif;fill:#333}
"""


def tail_x(share):
    """Each further nine as far as the one before it."""
    nines = -math.log10(1 - min(share, TAIL_MAX))
    return LEFT + (WIDTH - LEFT - RIGHT) * nines / -math.log10(1 - TAIL_MAX)


def value_y(value, low, high):
    share = (math.log10(max(value, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def curve(buckets, low, high):
    total = sum(count for _, count in buckets)
    seen, points = 0, []
    for value, count in buckets:
        points.append((tail_x(seen / total), value_y(value, low, high)))
        seen += count
        points.append((tail_x(seen / total), value_y(value, low, high)))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def axes(low, high):
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" fill="none" stroke="#bbb"/>']
    for share, label in TAIL_TICKS:
        x = tail_x(share)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        y = value_y(10**power, low, high)
        label = f"{10**power:,} ns" if power < 3 else f"{10 ** (power - 3):,} µs" if power < 6 else f"{10 ** (power - 6):,} ms"
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#eee"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">share of the records that take at most so long</text>')
    return parts


def plot(title, curves):
    """curves: {name: [(ns, count)]}; nothing where there is none."""
    curves = {name: buckets for name, buckets in curves.items() if buckets}
    if not curves:
        return ""
    values = [value for buckets in curves.values() for value, _ in buckets if value > 0]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values) + 1))
    parts = axes(low, high)
    for i, (name, buckets) in enumerate(curves.items()):
        colour, y = COLOURS[i % len(COLOURS)], TOP + 14 + 18 * i
        parts.append(f'<polyline points="{curve(buckets, low, high)}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts.append(f'<line x1="{WIDTH - RIGHT + 10}" y1="{y - 4}" x2="{WIDTH - RIGHT + 30}" y2="{y - 4}" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 36}" y="{y}">{html.escape(name)}</text>')
    text = html.escape(title)
    return f'<h3>{text}</h3><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text}">{"".join(parts)}</svg>'


def is_words(cell):
    return len(cell) > 26 or cell in ("holds", "short")


def table_html(table):
    def cell(text):
        kind = text if text in ("holds", "short") else "words" if is_words(text) else ""
        return f'<td class="{kind}">{html.escape(text)}</td>' if kind else f"<td>{html.escape(text)}</td>"

    head = "".join(f"<th>{html.escape(text)}</th>" for text in table.head)
    rows = "".join(f"<tr>{''.join(cell(text) for text in row)}</tr>" for row in table.rows)
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return f"<h2>{html.escape(table.title)}</h2>{note}<table><tr>{head}</tr>{rows}</table>"


def plots(figures, subjects, sizes):
    for size in sizes:
        curves = {}
        for subject in subjects:
            for drain, suffix in (("agent", ", to disk"), ("bench", "")):
                curves[subject + suffix] = figures.merged_buckets(subject, size, drain, "per_op")
        yield plot(f"Enqueue of {size} B, operation by operation", curves)
        ways = {subject: figures.merged_buckets(subject, size, "bench", "one_way") for subject in subjects}
        yield plot(f"One way, {size} B, spinning consumer", ways)


def render(machine, tables, drawings):
    facts = "".join(f"<tr><td>{html.escape(key)}</td><td class='words'>{html.escape(str(value))}</td></tr>" for key, value in machine.items())
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Spillway: the benchmarks</title><style>{STYLE}</style>"
        "<h1>Spillway: the benchmarks</h1><p>What each figure means: docs/benchmarks.md.</p>"
        f"<h2>The machine</h2><table>{facts}</table>"
        f"{''.join(table_html(table) for table in tables)}<h2>Percentiles</h2>{''.join(drawings)}</html>\n"
    )
