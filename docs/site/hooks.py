"""How docs/ becomes a site: pages that lie elsewhere in the repository, tables that the code fills, links of both.

Every page reads as well where it lies, in a checkout or at home. mkdocs calls the functions that begin with `on_`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.site.generated import GENERATED
from prefect_seedance.addresses import file_at_home

ROOT = Path(__file__).parents[2]
INCLUDED = {
    "index.md": "README.md",
    "deployments.md": "deployments/README.md",
    "protocol.md": "prefect_seedance/ledger/PROTOCOL.md",
    "changes.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "assets/logo.png": "prefect_seedance/logos/video-store.png",
}
"""Where on the site a file of the repository is shown that does not lie in docs/."""
SHOWN_AS = {origin: page for page, origin in INCLUDED.items()}

MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
DRAWING = re.compile(r"<!-- states -->.*?<!-- /states -->", re.DOTALL)
"""A browser draws it only with a script from elsewhere; the site has a table in its place."""
LINK = re.compile(r"\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is included."""
    for page, origin in INCLUDED.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / origin)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what the code says, and lead links to where things are on the site."""
    uri = page.file.src_uri
    markdown = DRAWING.sub("<!-- generated: steps -->", markdown)
    markdown = MARK.sub(lambda mark: GENERATED[mark[1]](), markdown)
    return LINK.sub(lambda link: _led(link, uri), markdown)


def _led(link: re.Match[str], uri: str) -> str:
    origin = INCLUDED.get(uri, f"docs/{uri}")
    named = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link["target"]))
    anchor = link["anchor"] or ""
    if named in SHOWN_AS:
        target = posixpath.relpath(SHOWN_AS[named], posixpath.dirname(uri) or ".")
    elif named.startswith("docs/") and named.endswith(".md"):
        target = posixpath.relpath(named.removeprefix("docs/"), posixpath.dirname(uri) or ".")
    else:
        target = file_at_home(named)
    return f"]({target}{anchor})"
