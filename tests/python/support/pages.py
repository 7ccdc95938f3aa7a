"""The pages of the documentation, taken apart: blocks, commands with what they print, links."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(r"^```(\S*)\s*$")
# "`mysite/wsgi.py`:" at the end of the line before a block names the block's file.
NAME = re.compile(r"`((?!-)[^`\s]*[./][^`\s]+)`:$")
NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")


@dataclass
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    name: str
    reason: str
    lines: list = field(default_factory=list)

    @property
    def text(self):
        """Its content, with the end of its last line."""
        return "".join(line + "\n" for line in self.lines)

    def __str__(self):
        return f"{self.page.name}:{self.line}"


@dataclass
class Command:
    """A command line, and the lines shown below it."""

    text: str
    shown: list = field(default_factory=list)


def parts(page):
    """A page's blocks and, as text, its headings, in their order."""
    block, before = None, ["", ""]
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if block is not None:
            if fence and not fence[1]:
                yield block
                block, before = None, ["", ""]
            else:
                block.lines.append(line)
        elif fence:
            name = next((found[1] for found in map(NAME.search, reversed(before)) if found), "")
            reason = next((found[1] for found in map(NOT_RUN.match, before) if found), "")
            block = Block(page, number, fence[1], name, reason)
        else:
            if line.startswith("#"):
                yield line
            if line.strip():
                before = [before[1], line]
    assert block is None, f"{block} has no end"


def blocks(page):
    """A page's blocks."""
    return [part for part in parts(page) if isinstance(part, Block)]


def commands(block):
    """What a `console` block (a `$` before each command) or a `sh` block (commands alone) runs."""
    found, prompt = [], "$ " if block.language == "console" else ""
    for line in block.lines:
        if found and found[-1].text.endswith("\\"):
            found[-1].text = found[-1].text[:-1] + line.strip()
        elif line.startswith(prompt) and not (prompt == "" and (not line or line.startswith("#"))):
            found.append(Command(line[len(prompt) :]))
        elif prompt:
            assert found, f"{block} shows output before any command"
            found[-1].shown.append(line)
    return found


def pattern(line):
    """A shown line as a regular expression: `…` stands for anything."""
    return ".*".join(map(re.escape, line.rstrip().split("…")))


def matches(shown, printed):
    """Whether these lines were printed; a line of `…` alone stands for any number of lines."""
    expression = "".join(
        "(?:.*\n)*?" if line.strip() == "…" else pattern(line) + "[ \t]*\n" for line in shown
    )
    return re.fullmatch(expression, "".join(line.rstrip() + "\n" for line in printed)) is not None


def prose(page):
    """A page's text without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def inline_code(page):
    """What stands between single backticks."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def links(page):
    """The targets of a page's links."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page):
    """What `#…` can name in a page: its headings, as GitHub makes anchors of them."""
    names = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        names.add(kept.replace(" ", "-"))
    return names


def strings(code):
    """The string literals of Rust code, with `…` for what is put into them."""
    for text in re.findall(r'"((?:[^"\\]|\\.)*)"', code.replace("'\"'", "''"), re.DOTALL):
        text = re.sub(r"\\\n\s*", "", text).replace('\\"', '"').replace("\\n", "\n")
        yield re.sub(r"\{[^{}]*\}", "…", text)


def sources():
    """The source without comments and without tests, by its file's name."""
    for file in sorted((ROOT / "src").rglob("*.rs")):
        if "tests" not in file.stem and "tests" not in file.parent.name:
            code = file.read_text().split("#[cfg(test)]\nmod tests {")[0]
            name = str(file.relative_to(ROOT / "src"))
            yield name, re.sub(r"^\s*//.*$", "", code, flags=re.MULTILINE)


def literals():
    """What the program can say."""
    return {text for _, code in sources() for text in strings(code)}


def complaints():
    """What the program can write to the error log as a warning or an error, each with the file that does."""
    found = set()
    for name, code in sources():
        for arguments in re.findall(r'\b(?:error|warn)!\(((?:[^"]|"(?:[^"\\]|\\.)*")*?)\)[;,\n]', code, re.DOTALL):
            found.update((name, text) for text in list(strings(arguments))[-1:])
    return found
