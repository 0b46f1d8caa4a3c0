"""Where things lie: the packaged configuration, and the layout under a root of runs.

<root>/<run id>/          one run (runlog/directory.py)
<root>/data/<corpus>/     prepared tokens, shared by all runs
<root>/studies/<study>/   report.html, report.md, fits.json, figures/ of a study
"""

import os
from functools import lru_cache
from pathlib import Path

import archscale
from archscale.registry import UserError

USER_CONF = "ARCHSCALE_CONF"


@lru_cache
def packaged(kind: str) -> Path:
    """The folder `conf` or `sweeps`: inside an installed wheel, or at the top of a checkout."""
    package = Path(archscale.__file__).parent
    installed = package / "_packaged" / kind
    return installed if installed.is_dir() else package.parent / kind


def conf_folders() -> list[Path]:
    """Where choices of Hydra groups are looked for: the user's own folder first, if there is one.

    Raises:
        UserError: when the folder named in ARCHSCALE_CONF (`archscale --conf`) does not exist.
    """
    own = os.environ.get(USER_CONF)
    if not own:
        return [packaged("conf")]
    if not Path(own).is_dir():
        raise UserError(f"--conf {own}: no such folder; it holds your own arch/, scale/, data/ … YAML files")
    return [Path(own).resolve(), packaged("conf")]


def data_folder(root: Path) -> Path:
    return root / "data"


def study_folder(root: Path, study: str) -> Path:
    return root / "studies" / study
