"""Projects with djangorestframework-simplejwt: their settings as a section of ours."""

import subprocess
import sys

from support.server import FERRICORN, clean_environment


def test_a_projects_settings_are_printed_as_a_section_that_works(site, tmp_path):
    (site / "with_ferricorn.py").write_text("from demo.settings import *\nINSTALLED_APPS += ['ferricorn']\n")
    config = '[[app]]\ntarget = "demo.wsgi:application"\n'
    for arguments, section in (([], "[auth.issue]"), (["--verify-only"], "[auth]")):
        command = [sys.executable, "manage.py", "ferricorn_jwt", "--settings", "with_ferricorn", *arguments]
        done = subprocess.run(
            [*command, "--key-file", str(tmp_path / "jwt.key")],
            cwd=site,
            env=clean_environment(PYTHONPATH=str(site)),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, section in done.stdout) == (0, True), done
        (tmp_path / "ferricorn.toml").write_text(config + done.stdout)
        subprocess.run([FERRICORN, "check", "-c", tmp_path / "ferricorn.toml"], cwd=site, check=True, timeout=60)
    assert (tmp_path / "jwt.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "jwt.key").read_text().strip() == (site / "secret" / "jwt.key").read_text().strip()
