"""The token endpoints beside djangorestframework-simplejwt: only what is meant to differ differs."""

import pytest
from support import simplejwt
from support.simplejwt_projects import PROJECTS


# The others are variations, which the script runs through (`support/simplejwt.py`).
@pytest.mark.parametrize("name", ["rotation and blacklist", "other names"])
def test_only_what_is_meant_to_differ_differs(serve, tmp_path, capsys, name):
    project = PROJECTS[name]
    project.prepare(tmp_path)
    server = serve("-c", "ferricorn.toml").ready()
    found, count = simplejwt.differences(server, project, tmp_path)
    expected = simplejwt.expected(project)
    with capsys.disabled():
        print(f"\n{name}: " + simplejwt.report(found, count, expected))
    assert found.keys() == expected.keys()
    assert not simplejwt.closed(server, project), "tokens of both sides open the project's own view"
