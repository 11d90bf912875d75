"""Makes packages with nuget pack, in the current folder.

usage: pack.py ID VERSION[,VERSION...] [--meta XML] [--meta-file FILE] [--file SOURCE=TARGET]... [ID=RANGE...]

XML, in the command or in a file, is more of the metadata.

nuget makes the package of the first version, and of its symbols where a file is a .pdb. The packages of the other versions are copies
of it with another version, which is a second faster. Each has the file content/ID.txt, which says "ID VERSION".
"""

import argparse
import pathlib
import subprocess
import zipfile
from xml.sax.saxutils import escape, quoteattr

parser = argparse.ArgumentParser()
parser.add_argument("id")
parser.add_argument("versions")
parser.add_argument("--meta", default="")
parser.add_argument("--meta-file", type=pathlib.Path)
parser.add_argument("--file", action="append", default=[])
parser.add_argument("dependencies", nargs="*")
given = parser.parse_intermixed_args()
first, *others = given.versions.split(",")

meta = given.meta + (given.meta_file.read_text() if given.meta_file else "")
text = pathlib.Path(f"{given.id}.txt")
text.write_text(f"{given.id} {first}\n")
dependencies = "".join(f"<dependency id={quoteattr(id)} version={quoteattr(range)}/>" for id, range in (d.split("=") for d in given.dependencies))
if "<dependencies>" not in meta:
    meta += f"<dependencies>{dependencies}</dependencies>"
files = "".join(f"<file src={quoteattr(source)} target={quoteattr(target)}/>" for source, target in (f.split("=") for f in [f"{text}=content", *given.file]))
nuspec = pathlib.Path(f"{given.id}.nuspec")
nuspec.write_text(f"""<?xml version="1.0"?>
<package>
  <metadata>
    <id>{given.id}</id>
    <version>{escape(first)}</version>
    <authors>Ann, Bob</authors>
    <description>The package {given.id}</description>
    <tags>acme test</tags>
    {meta}
  </metadata>
  <files>{files}</files>
</package>
""")
symbols = ["-Symbols", "-SymbolPackageFormat", "snupkg"] if any(".pdb=" in f for f in given.file) else []
subprocess.run(["nuget", "pack", nuspec, "-Verbosity", "quiet", "-NonInteractive", "-NoDefaultExcludes", *symbols], check=True)
nuspec.unlink()
text.unlink()


def named(version):
    """The package of a version: nuget leaves build metadata, and the fourth number if it is 0, out of the name."""
    return pathlib.Path(f"{given.id}.{version.partition('+')[0]}.nupkg")


for version in others:
    with zipfile.ZipFile(named(first)) as source, zipfile.ZipFile(named(version), "w", zipfile.ZIP_DEFLATED) as copy:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith((".nuspec", ".psmdcp")):
                content = content.replace(f"version>{escape(first)}<".encode(), f"version>{escape(version)}<".encode())
            elif entry.filename == f"content/{given.id}.txt":
                content = f"{given.id} {version}\n".encode()
            copy.writestr(entry, content)
