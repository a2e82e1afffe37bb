"""A small reader of the Prometheus text exposition format 0.0.4 that takes nothing on trust."""

import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(r"([^\s{]+)(?:\{(.*)\})? (\S+)\Z")
UNESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


def read_labels(text):
    labels, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        if not found or found[1] in labels:
            raise ValueError(f"bad labels: {text}")
        labels[found[1]] = re.sub(r'\\[\\"n]', lambda match: UNESCAPED[match[0]], found[2])
        at = found.end()
        if at < len(text):
            if text[at] != ",":
                raise ValueError(f"bad labels: {text}")
            at += 1
    return labels


def check_family(name, kind, text):
    """The naming rules: counters end in _total, gauges do not; base units, spelt out and last."""
    if not name.startswith("spillway_") or not NAME.match(name):
        raise ValueError(f"bad name: {name}")
    if (kind == "counter") != name.endswith("_total"):
        raise ValueError(f"{name} is a {kind}")
    if re.search(r"_(ms|ns|us|seconds?_ms|kb|mb|kib|mib)(_|\Z)", name) or not text:
        raise ValueError(f"{name}: not in base units, or without help")


def read(document):
    """{name: {frozenset of (label, value): number}}; raises ValueError at the first thing that is not as the format says."""
    if document and not document.endswith("\n"):
        raise ValueError("the last line has no end")
    families, helps, types, current = {}, {}, {}, None
    for line in document.splitlines():
        if line.startswith("# HELP "):
            current, text = line[7:].split(" ", 1)
            if current in helps:
                raise ValueError(f"{current}: told of twice")
            helps[current] = text
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            if name != current or name in types or kind not in ("counter", "gauge"):
                raise ValueError(f"misplaced or unknown: {line}")
            types[name] = kind
            check_family(name, kind, helps[name])
        else:
            found = SAMPLE.match(line)
            if not found or found[1] != current or current not in types:
                raise ValueError(f"not a sample of the family above it: {line}")
            labels, value = frozenset(read_labels(found[2] or "").items()), float(found[3])
            samples = families.setdefault(current, {})
            if labels in samples or (types[current] == "counter" and value < 0):
                raise ValueError(f"doubled, or a counter below 0: {line}")
            samples[labels] = value
    if set(helps) != set(types) or set(types) != set(families):
        raise ValueError("a family without help, type or samples")
    return families
