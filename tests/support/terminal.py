"""The command line as it looks in a terminal of 80 columns."""

import subprocess
import sys


def lines_at_80(*arguments: str) -> list[str]:
    """What the command prints, without blanks at the ends of lines; none of them is longer than the terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "archscale", *arguments],
        capture_output=True,
        text=True,
        env={"COLUMNS": "80", "PATH": "/usr/bin"},
        check=True,
    )
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    return lines
