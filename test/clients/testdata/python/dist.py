"""Writes the distributions of a package, a wheel and an sdist, into the folder dist, as a build tool would but at once.

usage: dist.py NAME VERSION [--python SPECIFIER] [--note TEXT] [DEPENDENCY...]

Its module exports TEXT, or "NAME VERSION", as says.
"""

import argparse
import base64
import hashlib
import io
import pathlib
import re
import tarfile
import zipfile

parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("version")
parser.add_argument("--python", default=">=3.6")
parser.add_argument("--note")
parser.add_argument("dependencies", nargs="*")
given = parser.parse_args()

module = re.sub(r"[-_.]+", "_", given.name).lower()
source = f"says = {given.note or given.name + ' ' + given.version!r}\n"
lines = ["Metadata-Version: 2.4", f"Name: {given.name}", f"Version: {given.version}", f"Summary: The package {given.name}",
         "License-Expression: MIT", f"Requires-Python: {given.python}", "Project-URL: Home, https://example.com/home"]
metadata = "\n".join(lines + [f"Requires-Dist: {d}" for d in given.dependencies]) + f"\n\n# {given.name}\n"

dist = pathlib.Path("dist")
dist.mkdir(exist_ok=True)
info = f"{module}-{given.version}.dist-info"
files = {f"{module}.py": source, f"{info}/METADATA": metadata,
         f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
record = [f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text.encode())}"
          for name, text in files.items()]
files[f"{info}/RECORD"] = "\n".join(record + [f"{info}/RECORD,,"]) + "\n"
with zipfile.ZipFile(dist / f"{module}-{given.version}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    for name, text in files.items():
        wheel.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)

stem = f"{module}-{given.version}"
build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
project = f'[project]\nname = "{given.name}"\nversion = "{given.version}"\nrequires-python = "{given.python}"\ndependencies = {list(given.dependencies)}\n'
with tarfile.open(dist / f"{stem}.tar.gz", "w:gz") as sdist:
    for name, text in {"PKG-INFO": metadata, f"{module}.py": source, "pyproject.toml": build + project}.items():
        member = tarfile.TarInfo(f"{stem}/{name}")
        member.size = len(text.encode())
        sdist.addfile(member, io.BytesIO(text.encode()))
