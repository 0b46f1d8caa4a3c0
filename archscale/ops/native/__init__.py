"""C++ files beside an operator, compiled once for this machine at first use and loaded through ctypes.

    <cache>/<source>-<key>.so     key = hash of source and headers, flags, compiler version, processor

<cache> is archscale/ in XDG_CACHE_HOME or ~/.cache. A library is written whole or not at all and carries a digest of
itself, so any number of processes may build it at once, and a damaged one is built again. Where the cache is of no use
(no home, read-only, mounted noexec) a process builds for itself in a temporary folder. Nothing but a C++ compiler is
needed: CXX in the environment, else `c++`. ARCHSCALE_COMPILE=0 switches compiled code off.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from archscale.runlog.files import write_atomically

SWITCH = "ARCHSCALE_COMPILE"
COMPILERS = ("c++", "g++", "clang++")
HEADERS = Path(__file__).parent
# Without -ffast-math: NaN must come through, and linking with it makes a whole process flush denormal numbers to zero.
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
SHARED = ("-fPIC", "-shared", "-pthread")
BUILD_SECONDS = 120
DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Missing:
    """Why there is no library: a few words for the log."""

    reason: str


@cache
def library(source: Path) -> ctypes.CDLL | Missing:
    """The library of one C++ file, built if need be; the answer holds for the life of the process."""
    if os.environ.get(SWITCH) == "0":
        return Missing(f"{SWITCH}=0")
    compiler = _compiler()
    if compiler is None:
        return Missing("no C++ compiler found")
    try:
        name = f"{source.stem}-{_key(source, compiler)}.so"
        try:
            return _cached(source, compiler, _cache_folder() / name)
        except OSError:  # a cache that cannot be written, or a library in it that cannot be loaded
            with tempfile.TemporaryDirectory() as folder:
                return ctypes.CDLL(str(_build(source, compiler, Path(folder) / name)))
    except subprocess.CalledProcessError as error:
        return Missing(f"{compiler} failed: {_first_error(error.stderr)}")
    except subprocess.TimeoutExpired:
        return Missing(f"{compiler} took more than {BUILD_SECONDS} s")
    except OSError as error:
        return Missing(f"{compiler}: {error}")


def _compiler() -> str | None:
    names = (os.environ.get("CXX", ""), *COMPILERS)
    return next((found for name in names if (found := shutil.which(name))), None)


def _key(source: Path, compiler: str) -> str:
    texts = [path.read_text(encoding="utf-8") for path in (source, *sorted(HEADERS.glob("*.h")))]
    parts = [*texts, " ".join(FLAGS + SHARED), _run(compiler, "--version"), _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _processor() -> str:
    """What -march=native looks at: on Linux the model of the processor and its features, the same for every core."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    fields = ("model", "cpu family", "flags", "Features", "CPU implementer", "CPU part", "isa")
    return "\n".join([platform.machine(), *sorted({line for line in lines if line.startswith(fields)})])


def _cache_folder() -> Path:
    own = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(own) if own else Path("~/.cache").expanduser()) / "archscale"
    except RuntimeError as error:
        raise FileNotFoundError(f"no home folder: {error}") from None


def _cached(source: Path, compiler: str, path: Path) -> ctypes.CDLL:
    # The digest comes first, because mapping a truncated library kills the process.
    content = path.read_bytes() if path.is_file() else b""
    if content[-DIGEST_BYTES:] != hashlib.sha256(content[:-DIGEST_BYTES]).digest():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            content = _build(source, compiler, Path(folder) / path.name).read_bytes()
        # A loader takes no notice of what follows the library in its file.
        write_atomically(path, content + hashlib.sha256(content).digest())
    return ctypes.CDLL(str(path))


def _build(source: Path, compiler: str, path: Path) -> Path:
    _run(compiler, *FLAGS, *SHARED, f"-I{HEADERS}", str(source), "-o", str(path))
    return path


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, errors="replace", timeout=BUILD_SECONDS)
    return done.stdout


def _first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines()] or ["no message"]
    return next((line.partition("error: ")[2] for line in lines if "error: " in line), lines[0])
