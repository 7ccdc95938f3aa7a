"""The documentation is true: its configurations are valid, its commands do what it shows, its links lead somewhere."""

import contextlib
import re
import shutil
import subprocess

import pytest

from support import machine, pages
from support.nginx import find_nginx
from support.pages import PAGES, ROOT
from support.server import FERRICORN, clean_environment
from support.service_stage import ServiceStage
from support.stage import Stage

# Blocks that are no command and no configuration of ours, and are made into files where they are named.
FILES = ("python", "rust", "ini", "nginx", "html", "css", "json")
SHELL = ("console", "sh")
# Blocks to be read only; a page explains with them.
READ = ("text",)
MOST_NOT_RUN = 6
ON_A_MACHINE = [page for page in PAGES if "\n<!-- on a machine of its own -->\n" in page.read_text()]


def identifier(page):
    """A page's name for pytest."""
    return page.stem


@pytest.fixture
def stage(request):
    """A place for a page; always the same one for a Rust program, so that cargo finds again what it has compiled."""
    page = request.node.callspec.params.get("page")
    compiles = page and any(block.language == "rust" for block in pages.blocks(page))
    root = ROOT / "target" / "pages" / page.stem if compiles else None
    if compiles:
        shutil.rmtree(root, ignore_errors=True)
    stage = Stage(root)
    yield stage
    stage.close()


@pytest.mark.parametrize("page", ON_A_MACHINE, ids=identifier)
def test_page_comes_true_on_a_machine(page):
    machine.require()
    if "nginx" in page.stem:
        find_nginx()
    with contextlib.closing(ServiceStage()) as stage:
        come_true(page, stage)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ON_A_MACHINE], ids=identifier)
def test_page_comes_true(page, stage):
    come_true(page, stage)


def come_true(page, stage):
    """Makes the blocks of a page come true, in their order."""
    for part in pages.parts(page):
        if isinstance(part, str):
            # A section stands for itself: its servers end with it.
            if part.startswith("## "):
                stage.end()
        elif not part.reason:
            play(part, stage)


def play(block, stage):
    """Makes one block come true."""
    if block.language == "toml" and not block.name.endswith("Cargo.toml"):
        stage.check(block)
    elif block.language in SHELL:
        stage.play(block)
    elif block.language in FILES or block.language == "toml":
        if block.language == "python":
            compile(block.text, str(block), "exec")
        assert block.name, f"{block} names no file"
        stage.write(block.name, block.text)
    else:
        assert block.language in READ, f"{block}: nobody knows how to try `{block.language}`"


def test_blocks_that_are_not_run_are_few_and_say_why(capsys):
    left_out = [block for page in PAGES for block in pages.blocks(page) if block.reason]
    with capsys.disabled():
        print(f"\n{len(left_out)} blocks of the documentation are not run:")
        for block in left_out:
            print(f"  {block}: {block.reason}")
    assert len(left_out) <= MOST_NOT_RUN


def test_no_block_escapes_by_being_indented():
    wrong = [
        f"{page.name}: {line}"
        for page in PAGES
        for line, before in zip(pages.prose(page).splitlines()[1:], pages.prose(page).splitlines())
        if re.match(r" {4}\S", line) and not before.strip()
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_links_lead_somewhere(page):
    wrong = []
    for link in pages.links(page):
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or not target.is_relative_to(ROOT):
            wrong.append(link)
        elif anchor and (target.suffix != ".md" or anchor not in pages.anchors(target)):
            wrong.append(f"{link}: no such heading")
    assert not wrong, wrong


def test_every_page_is_linked_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in pages.links(PAGES[0])}
    assert [page.name for page in PAGES[1:] if page not in linked] == []


def known_keys():
    """Every key, by its path in the configuration."""
    section, keys = "", set()
    for line in (ROOT / "config" / "reference.toml").read_text().splitlines():
        if found := re.match(r"(?:# )?\[+([a-z.]+)\]+$", line):
            section = found[1]
        elif found := re.match(r"# ([a-z_.]+) = ", line):
            keys.add(f"{section}.{found[1]}")
    return keys


def known_flags():
    """Every flag of the program."""
    flags, commands = set(), [[]]
    while commands:
        words = commands.pop()
        told = subprocess.run(
            [FERRICORN, *words, "--help"], capture_output=True, text=True, check=True, env=clean_environment(), timeout=60
        ).stdout
        flags.update(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", told))
        listed = re.search(r"^Commands:\n((?:  .*\n)+)", told, re.MULTILINE)
        names = re.findall(r"^  ([a-z][\w-]*)", listed[1], re.MULTILINE) if listed else []
        commands += [[*words, name] for name in names if name != "help"]
    return flags


def test_keys_and_flags_that_the_pages_name_exist():
    keys, flags, wrong = known_keys(), known_flags(), []
    assert "timeouts.graceful" in keys and "--pythonpath" in flags
    parents = {key.rpartition(".")[0] for key in keys}
    for page in PAGES:
        for code in pages.inline_code(page):
            if re.fullmatch(r"[a-z]+(\.[a-z_]+)+", code) and code.split(".")[0] in {key.split(".")[0] for key in keys}:
                wrong += [f"{page.name}: key {code}"] * (code not in keys | parents)
            # Pages for those who come from elsewhere name flags from there, the one about `make stress` those of that tool.
            elif not page.stem.startswith(("from-", "stress")):
                named = set(re.findall(r"(?<!\S)--?[a-z][\w-]*", code)) if re.match(r"-|ferricorn ", code) else set()
                wrong += [f"{page.name}: flag {flag}" for flag in sorted(named - flags)]
    assert not wrong, "\n".join(wrong)


# Files that write whole texts of somebody else, whose own entries are of those: why an app did not load, what is wrong with keys.
SAY_WHAT_OTHERS_SAY = {
    "master/perform/molds.rs",
    "middleware/bearer/layer.rs",
    "serve.rs",
    "worker/load.rs",
    "worker/mod.rs",
    "worker/mold.rs",
}


def explained():
    """What the page on troubleshooting explains."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    named = re.findall(r"^(?:###|-) (?:.+\n)(?:  .+\n)*", page, re.MULTILINE)
    return [text for part in named for text in re.findall(r"`(.+?)`", part)]


def test_what_is_explained_is_what_the_program_says():
    said = pages.literals()
    wrong = [text for text in explained() if not any(text in literal for literal in said)]
    assert not wrong, "\n".join(wrong)


def test_every_complaint_is_explained():
    texts = explained()
    complaints = {said for file, said in pages.complaints() if said != "…" or file not in SAY_WHAT_OTHERS_SAY}
    assert len(complaints) > 30
    wrong = [said for said in sorted(complaints) if not any(text in said for text in texts)]
    assert not wrong, "\n".join(wrong)


SERVED = "```console\n$ ferricorn serve hello -b 127.0.0.1:8000\n```\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```console\n$ echo yes\nno\n```\n", "printed:\nyes"),
        ("```console\n$ false\n```\n", "exit code 1"),
        ("```sh\n# a comment\nexit 3\n```\n", "exit code 3"),
        ("```console\n$ false\n$ echo $?\n0\n```\n", "printed:\n1"),
        ("```toml\n[server]\nbnd = 1\n```\n", "did you mean"),
        ("```python\nimport os\n```\n", "names no file"),
        ("```fortran\nEND\n```\n", "nobody knows"),
        ("```console\n$ ferricorn serve nothing -b 127.0.0.1:8000\n```\n", "exit code 3"),
        ("```console\n$ ferricorn serve hello -b 127.0.0.1:8000\nno such line\n```\n", "shown:\nno such line"),
        (SERVED + "```console\n$ curl -s http://127.0.0.1:8000/\nno\n```\n", "printed:"),
        (SERVED + "## Next\n```console\n$ curl -s http://127.0.0.1:8000/\n```\n", "exit code 7"),
    ],
)
def test_page_that_is_not_true_is_told(tmp_path, stage, text, told):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError) as error:
        come_true(page, stage)
    assert told in str(error.value)
