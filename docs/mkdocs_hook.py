"""What `make docs` does to the pages, so that they read the same in the repository and on the site (a hook of mkdocs).

README.md is the site's first page; files of the repository that pages link to are copied to `files/`; equations, in TeX
between dollars or in a block ```math, become MathML, which browsers render by themselves.
"""

import html
import os
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")  # the path of a link or picture
MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


def on_files(files: Files, config) -> Files:
    """README.md as index.md, and the files outside of docs/ that a page links to."""
    texts = {page: page.read_text() for page in [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")]}
    files.append(File.generated(config, "index.md", content=texts[REPOSITORY / "README.md"]))
    for outside in sorted({path for page, text in texts.items() for path in linked(page, text) if is_outside(path)}):
        name = f"files/{outside.relative_to(REPOSITORY)}"
        files.append(File.generated(config, name, abs_src_path=str(outside)))
    return files


def on_page_markdown(markdown: str, page, **_) -> str:
    """Links as the site needs them, and equations as the Markdown extension does."""
    source = REPOSITORY / ("README.md" if page.file.src_uri == "index.md" else f"docs/{page.file.src_uri}")
    here = Path(page.file.src_uri).parent
    links = LINK.sub(lambda link: os.path.relpath(in_site((source.parent / link[1]).resolve()), here), markdown)
    return re.sub(r"^```math\n(.*?)^```", r"$$\n\1$$", links, flags=re.M | re.S)


def on_page_content(content: str, **_) -> str:
    """MathML in the place of TeX."""
    return MATH.sub(lambda tex: mathml(html.unescape(tex[2]).strip(), block=tex[1] == "div"), content)


def mathml(tex: str, *, block: bool) -> str:
    """An equation, with the space after log that TeX would give it."""
    return convert(tex, display="block" if block else "inline").replace(
        "<mi>log</mi>", '<mi>log</mi><mspace width="0.17em"/>'
    )


def linked(page: Path, text: str) -> list[Path]:
    return [(page.parent / link).resolve() for link in LINK.findall(text)]


def is_outside(path: Path) -> bool:
    """Whether a file is the repository's, and none of docs/."""
    return path.is_file() and REPOSITORY / "docs" not in path.parents and path != REPOSITORY / "README.md"


def in_site(path: Path) -> str:
    """The path of a file of the repository, from the site's folder."""
    if path == REPOSITORY / "README.md":
        return "index.md"
    docs = REPOSITORY / "docs"
    return f"files/{path.relative_to(REPOSITORY)}" if is_outside(path) else str(path.relative_to(docs))
