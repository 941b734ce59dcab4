"""Where a figure comes from: the code's commit, the hardware, the versions of what computed it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def commit(package: Path = _PACKAGE) -> str:
    """Return the commit of the checkout that the package runs from, short.

    `-dirty` is appended when files of the package differ from it, and `unknown` is returned when the package is not
    tracked by git: installed from a wheel, or lying inside somebody else's repository.
    """
    try:
        _git(package, "ls-files", "--error-unmatch", "__init__.py")
        head = _git(package, "rev-parse", "--short=12", "HEAD")
        return f"{head}-dirty" if _git(package, "status", "--porcelain", "--", ".") else head
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def hardware() -> str:
    """Return the processor, the number of cores that this process may use, and the first GPU if there is one."""
    import torch

    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    gpu = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return f"{_processor()}, {len(available)} cores{gpu}"


def versions() -> str:
    """Return the versions of what decides a figure."""
    return " ".join(f"{name} {metadata.version(name)}" for name in ("inkseek", "torch", "timm", "numpy"))


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(where), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
