"""The program as a terminal starts it."""

import sys
from collections.abc import Callable

import pytest

from archscale.cli import main
from tests.analysis.fake_runs import strict_json


@pytest.fixture
def terminal(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Exit status, stdout and stderr of the program with these arguments."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["archscale", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def found(archscale) -> Callable[..., dict]:
    """What the command of a file, its fixture `archscale`, prints with --json."""

    def run(*arguments: object) -> dict:
        code, out, err = archscale(*arguments, "--json")
        assert (code, err) == (0, "")
        return strict_json(out)

    return run
