"""Environments of their own for LitServe and BentoML, made at first use under .venv-peers/ (git ignores it).

Their requirements, down to the hashes, are apps/requirements-*.txt; apps/requirements-*.in is what was asked for.
"""

import shutil
import subprocess
import sys
from pathlib import Path

APPS = Path(__file__).resolve().parent / "apps"
ENVIRONMENTS = APPS.parents[2] / ".venv-peers"


def python_of(name: str) -> Path:
    """Return the interpreter of an environment, which is made if it is not there or its requirements changed."""
    place, requirements = ENVIRONMENTS / name, APPS / f"requirements-{name}.txt"
    python, made_from = place / "bin" / "python", place / requirements.name
    if made_from.exists() and made_from.read_bytes() == requirements.read_bytes():
        return python
    print(f"making the environment of {name}", file=sys.stderr, flush=True)
    hashed = ["--quiet", "--require-hashes", "-r", str(requirements)]
    uv = shutil.which("uv")
    if uv is not None:
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)], check=True)
        subprocess.run([uv, "pip", "install", "--python", str(python), *hashed], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", *hashed], check=True)
    shutil.copyfile(requirements, made_from)
    return python
