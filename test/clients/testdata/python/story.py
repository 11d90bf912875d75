"""What the stories told with python-gitlab have in common."""

import base64
import io
import json
import os
import tarfile

import gitlab

URL = os.environ["URL"]


def client(token=None):
    """A client with a token, or an anonymous one."""
    return gitlab.Gitlab(URL, private_token=token)


root = client(os.environ["ROOT_TOKEN"])


def refused(status, words, call, /, *args, **kwargs):
    """Calls, and returns the exception that must come: its status, and words of the server's answer."""
    try:
        call(*args, **kwargs)
    except gitlab.GitlabError as e:
        assert e.response_code == status and words in e.response_body.decode(), (e, e.response_body)
        return e
    raise AssertionError(f"{call} was not refused")


def npm(project):
    """The registry of a project, for npm."""
    return f"{URL}/api/v4/projects/{project.id}/packages/npm/"


def tell(**values):
    """Hands values to the script, which reads them with jsonenv."""
    print(json.dumps(values))


def publish(token, project, name, version):
    """Publishes an npm package as npm does, for stories that need many."""
    manifest = {"name": name, "version": version}
    content = json.dumps(manifest).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    data = base64.b64encode(archive.getvalue()).decode()
    client(token).http_put(f"/projects/{project.id}/packages/npm/{gitlab.utils.EncodedId(name)}", post_data={
        "_id": name, "name": name, "dist-tags": {"latest": version}, "versions": {version: manifest},
        "_attachments": {f"{name}-{version}.tgz": {"content_type": "application/octet-stream", "data": data}},
    })
