"""Checks what was installed from the lock into a folder, and that it works.

usage: check.py LOCK FOLDER
"""

import base64
import csv
import hashlib
import importlib.metadata
import pathlib
import platform
import re
import sys

lock, folder = pathlib.Path(sys.argv[1]).read_text(), pathlib.Path(sys.argv[2])
installed = list(importlib.metadata.distributions(path=[str(folder)]))
want = {tuple(pin) for pin in re.findall(r"(?m)^(\S+)==(\S+)", lock)}
assert {(re.sub(r"[-_.]+", "-", d.name).lower(), d.version) for d in installed} == want, installed

files = 0
for distribution in installed:
    for name, digest, _ in csv.reader(distribution.read_text("RECORD").splitlines()):
        if digest and not name.startswith("../"):
            algorithm, _, encoded = digest.partition("=")
            got = hashlib.new(algorithm, (folder / name).read_bytes()).digest()
            assert base64.urlsafe_b64encode(got).rstrip(b"=").decode() == encoded, name
            files += 1
assert files > 1000, files

sys.path = [str(folder)] + [p for p in sys.path if "site-packages" not in p]
import boto3
import flask

app = flask.Flask("app")
app.get("/")(lambda: flask.render_template_string("{{ 6 * 7 }}"))
assert app.test_client().get("/").text == "42"
s3 = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
signed = s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key"})
assert signed.startswith("https://bucket.s3.") and "Signature=" in signed, signed
if sys.version_info[:2] == (3, 11) and platform.machine() == "x86_64":
    # The wheels of the lock that hold machine code are for this.
    import pandas

    assert pandas.DataFrame({"a": [1, 2, 39]})["a"].sum() == 42
print("as it should be")
