"""What the stories told with python-gitlab have in common."""

import json
import os

import gitlab

URL = os.environ["URL"]


def client(token=None):
    """A client with a token, or an anonymous one."""
    return gitlab.Gitlab(URL, private_token=token)


root = client(os.environ["ROOT_TOKEN"])


def refused(status, words, call, *args, **kwargs):
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
