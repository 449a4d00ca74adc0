"""Checks /metrics pages with promtool, which reads Prometheus' older text: OpenMetrics from the addresses given
is rewritten into it first. Usage: metrics.py URL..."""

import re
import subprocess
import sys
import urllib.request

# What promtool would have otherwise, and why it stays: names that are fixed by the interface.
ALLOWED = ()


def older(text):
    counters, lines = set(), []
    for line in text.splitlines():
        found = re.match(r"# TYPE (\S+) (\S+)", line)
        if found and found[2] == "counter":
            counters.add(found[1])
    for line in text.splitlines():
        if line.startswith("# EOF") or line.startswith("# UNIT"):
            continue
        found = re.match(r"# (TYPE|HELP) (\S+) (.*)", line)
        if found:
            what, name, rest = found.groups()
            if name in counters:
                name += "_total"
            if rest == "info" and what == "TYPE":
                name, rest = name + "_info", "gauge"
            elif what == "HELP" and f"# TYPE {name} info" in text:
                name += "_info"
            if rest == "unknown" and what == "TYPE":
                rest = "untyped"
            line = f"# {what} {name} {rest}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main():
    bad = 0
    for url in sys.argv[1:]:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
            kind = answer.headers["content-type"]
        if "openmetrics-text" not in kind or not text.endswith("# EOF\n"):
            print(f"{url}: {kind} is no OpenMetrics")
            bad += 1
        said = subprocess.run(["promtool", "check", "metrics"], input=older(text), capture_output=True, text=True, check=False)
        complaints = [line for line in (said.stdout + said.stderr).splitlines() if not any(word in line for word in ALLOWED)]
        for line in complaints:
            print(f"{url}: {line}")
        bad += len(complaints)
    sys.exit(1 if bad else 0)


main()
