"""The direction of imports, read from the syntax tree, so that imports inside functions count as well."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("archscale/**/*.py"), *ROOT.glob("analysis/**/*.py")])

# Who may be imported by whom, by package below archscale; lower layers never import higher ones.
LAYERS = [
    {"registry", "spec", "identity", "paths", "terminal"},
    {"parametrizations", "ops", "runlog", "trunks"},
    {"model"},
    {"scaling", "data"},
    {"compose"},
    {"study"},
    {"plan"},
    {"train", "generate", "evaluate", "bench", "check"},
    {"launch"},
    {"display", "choices"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}


def imports(path: Path, *, top_level_only: bool) -> set[str]:
    """Absolute names of imported modules; imports for type checking alone do not count."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.dump(test.test)
        for node in ast.walk(test)
    }
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def reached_at_import(start: str) -> set[str]:
    """Modules loaded when `start` is imported, by following top-level imports inside this project."""
    by_name = {name_of(path): path for path in FILES}
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in by_name:
            waiting += imports(by_name[name], top_level_only=True)
            waiting += [name.rpartition(".")[0]] if "." in name else []
    return seen


@pytest.mark.parametrize("module", ["archscale.spec", "archscale.study", "archscale.compose", "archscale.cli"])
def test_configuration_loads_without_torch(module):
    assert not [name for name in reached_at_import(module) if name.split(".")[0] == "torch"]


@pytest.mark.parametrize("package", ["analysis", "archscale/parametrizations", "archscale/runlog", "archscale/launch"])
def test_torch_free_packages_stay_so(package):
    for path in (ROOT / package).rglob("*.py"):
        assert not [name for name in reached_at_import(name_of(path)) if name.split(".")[0] == "torch"], path


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_downwards(path):
    package = path.relative_to(ROOT).parts
    own = package[1].removesuffix(".py") if package[0] == "archscale" and len(package) > 1 else None
    if own in (None, "__init__"):
        return
    for name in imports(path, top_level_only=False):
        parts = name.split(".")
        if parts[0] == "archscale" and len(parts) > 1 and parts[1] in LAYER_OF:
            assert LAYER_OF[parts[1]] <= LAYER_OF[own], f"{name_of(path)} imports {name}"


def test_analysis_knows_of_archscale_only_specs_and_the_run_log():
    allowed = {"spec", "runlog", "registry", "identity"}
    for path in (ROOT / "analysis").rglob("*.py"):
        used = {name.split(".")[1] for name in imports(path, top_level_only=False) if name.startswith("archscale.")}
        assert used <= allowed, f"{path}: {used - allowed}"


@pytest.mark.parametrize(("package", "home"), [("wandb", "runlog"), ("submitit", "launch")])
def test_optional_clients_have_one_home(package, home):
    for path in FILES:
        if package in {name.split(".")[0] for name in imports(path, top_level_only=False)}:
            assert path.parent.name == home, f"{path} imports {package}"
