"""The token endpoints beside djangorestframework-simplejwt: only what is meant to differ differs."""

from support import simplejwt


def test_only_what_is_meant_to_differ_differs(serve, tmp_path, capsys):
    simplejwt.prepare(tmp_path)
    server = serve("-c", "ferricorn.toml").ready()
    found, count = simplejwt.differences(server)
    with capsys.disabled():
        print("\n" + simplejwt.report(found, count))
    assert not [name for name in found if name not in simplejwt.MEANT]
    assert not [name for name in simplejwt.MEANT if name not in found], "it does not differ any more"
