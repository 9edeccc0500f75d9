"""Reads a page's fenced blocks and does what they say, as a reader would: one shell, one Python, one folder for a page.

`sh` is typed into the shell. `python` that begins with `# name.py` is saved under that name; other Python is run.
`json` and `text` are what the block before printed: equal but for what differs from time to time (see `steady`); a
member "..." of an object stands for all that is not shown.
"""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

BLOCK = re.compile(r"(?ms)^```(\w+)\n(.*?)^```$")
OUTPUTS = {"json", "text"}
BLOCK_SECONDS = 45
# What differs each time. Order matters: a time has numbers in it.
VARYING = [
    (r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r"\b(dms_live_|whsec_|v1,)?[A-Za-z0-9+/_=.\-]{32,}", r"<\1...>"),
    (r"\b[0-9A-HJKMNP-TV-Z]{13}\b", "<tracking number>"),
    (r"\b\d{5,}\b", "<number>"),
]
# Our curl fails on an error, so that an example that is refused fails the test. Nothing is fetched from outside.
PRELUDE = """
set -o pipefail
curl() { command curl --fail-with-body --no-progress-meter "$@"; }
python3() { if [ "$1 $2" = '-m venv' ]; then set -- "$@" --without-pip; fi; command python3 "$@"; }
pip() {
  for package; do :; done
  [ -f "$package/pyproject.toml" ] || return 1
  printf '%s\\n' "$PWD/$package/src" "$LIBRARIES" > "$(echo "$VIRTUAL_ENV"/lib/*/site-packages)/installed.pth"
}
"""


@dataclass(frozen=True)
class Block:
    """One fenced block, where it stands, and what the page says that it prints."""

    kind: str
    text: str
    line: int
    output: "Block | None" = None


def blocks_of(page):
    """The blocks of a page in order, each with its output."""
    text = Path(page).read_text()
    found = [Block(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in BLOCK.finditer(text)]
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.kind not in OUTPUTS:
            shown = following if following and following.kind in OUTPUTS else None
            yield Block(block.kind, block.text, block.line, shown)


def steady(text):
    """The text with everything replaced that differs from time to time."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


def same(shown, printed):
    """Whether what was printed is what the page shows, both from JSON."""
    if isinstance(shown, dict) and isinstance(printed, dict):
        names = shown.keys() - {"..."}
        complete = "..." in shown or names == printed.keys()
        return complete and names <= printed.keys() and all(same(shown[name], printed[name]) for name in names)
    if isinstance(shown, list) and isinstance(printed, list):
        return len(shown) == len(printed) and all(map(same, shown, printed))
    if isinstance(shown, str) and isinstance(printed, str):
        return steady(shown) == steady(printed)
    return type(shown) is type(printed) and shown == printed


def check(output, printed):
    """Fail where a page shows another output than there was."""
    if output.kind == "json":
        assert same(json.loads(output.text), json.loads(printed)), f"line {output.line} shows another answer: {printed}"
    else:
        assert steady(output.text).split() == steady(printed).split(), f"line {output.line} shows another output"


class Reader:
    """Somebody with a shell in `folder`, who follows pages; `swapped` is what is called otherwise here."""

    def __init__(self, folder, *, environ, swapped):
        self.folder, self.swapped, self.names = folder, swapped, {}
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines = Queue()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        self.type(PRELUDE)

    def _listen(self):
        with self.shell.stdout as lines:
            for line in lines:
                self.lines.put(line)

    def follow(self, page, *, until=None):
        """Do what a page says; `until` is the first block to leave out, by a word in it."""
        for block in blocks_of(page):
            if until and until in block.text:
                return
            self.do(block, page)

    def do(self, block, page):
        printed, status = self.run(block)
        where = f"{page}:{block.line}"
        refused = block.output is not None and '"urn:delivery:problem:' in block.output.text
        assert (status != 0) is refused, f"{where} ended with {status}: {printed}"
        if block.output:
            output = Block(block.output.kind, self.swap(block.output.text), block.output.line)
            check(output, printed)

    def swap(self, text):
        for shown, real in self.swapped.items():
            text = text.replace(shown, real)
        return text

    def run(self, block):
        """What a block prints, and how it ends."""
        text = self.swap(block.text)
        if block.kind == "sh":
            return self.type(text)
        name = re.match(r"# (\w+\.py)\n", text)
        if name:
            (self.folder / name[1]).write_text(text)
            return "", 0
        return self.run_python(text), 0

    def type(self, text):
        """Have the shell run some lines; returns what they print and the status of the last."""
        self.shell.stdin.write(f"{text}\nprintf '\\n#%s#\\n' $?; env -0 > .environ\necho '#done#'\n")
        self.shell.stdin.flush()
        printed, status = "", None
        while (line := self._next(text)) != "#done#\n":
            ended = re.fullmatch(r"#(\d+)#\n", line)
            status, printed = (int(ended[1]), printed) if ended else (status, printed + line)
        return printed, status

    def _next(self, text):
        try:
            return self.lines.get(timeout=BLOCK_SECONDS)
        except Empty:
            raise TimeoutError(f"not done in {BLOCK_SECONDS} s: {text}") from None

    def run_python(self, text):
        """What some Python prints that knows the names of all before it, and the shell's environment."""
        pairs = (pair.partition("=") for pair in (self.folder / ".environ").read_text().split("\0") if pair)
        given = {name: value for name, _, value in pairs}
        before, printed = os.environ.copy(), io.StringIO()
        try:
            os.environ.update(given)
            with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
                exec(compile(text, "page", "exec"), self.names)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return printed.getvalue()

    def close(self):
        """End the shell and what it left in the background."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.stdin.close()
        self.shell.wait()
        self.listener.join(timeout=10)
        if client := self.names.pop("client", None):
            client.close()
