"""Builds the wheel: the package, with the shared library of this checkout inside.

VECDB_WHEEL_LIBRARY and VECDB_WHEEL_PLATFORM name another library and its platform: see wheels.sh.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "python" / "setup"  # what setuptools makes on the way


class BuildWithLibrary(build_py):
    """Makes libvecdb.so, unless it is up to date or given, and puts it beside the modules."""

    def run(self):
        given = os.environ.get("VECDB_WHEEL_LIBRARY")
        if not given:
            subprocess.run(["make", "-s", "-C", str(ROOT), "INSTALL=no", "libraries"], check=True)
        shutil.rmtree(self.build_lib, ignore_errors=True)  # modules that are no more
        super().run()
        target = Path(self.build_lib) / "vecdb" / "libvecdb.so"
        shutil.copyfile(ROOT / (given or "build/libvecdb.so"), target)


class PlatformWheel(bdist_wheel):
    """A wheel for any Python 3, but for this or the given platform only."""

    def get_tag(self):
        given = os.environ.get("VECDB_WHEEL_PLATFORM")
        return "py3", "none", given or super().get_tag()[2]


class BinaryDistribution(Distribution):
    def has_ext_modules(self):
        return True


header = (ROOT / "vecdb.h").read_text(encoding="utf-8")
WORK.mkdir(parents=True, exist_ok=True)
setup(
    options={"build": {"build_base": str(WORK)}, "egg_info": {"egg_base": str(WORK)}},
    version=re.search(r'VECDB_VERSION_STRING "(.*)"', header).group(1),
    cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel},
    distclass=BinaryDistribution,
)
