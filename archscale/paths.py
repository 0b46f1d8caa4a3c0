"""Where things lie: the packaged configuration, and the layout under a root of runs.

<root>/<run id>/          one run (runlog/directory.py)
<root>/data/<corpus>/     prepared tokens, shared by all runs
<root>/studies/<study>/   report.html, report.md, fits.json, figures/ of a study
"""

from pathlib import Path

import archscale

RESERVED = ("data", "studies")


def packaged(kind: str) -> Path:
    """The folder `conf` or `sweeps`: inside an installed wheel, or at the top of a checkout."""
    package = Path(archscale.__file__).parent
    installed = package / "_packaged" / kind
    return installed if installed.is_dir() else package.parent / kind


def data_folder(root: Path) -> Path:
    return root / "data"


def study_folder(root: Path, study: str) -> Path:
    return root / "studies" / study
