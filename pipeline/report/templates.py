"""The templates of this room, and the words that they may use.

page = template("report.html").render(sections)
"""

from pathlib import Path

import jinja2

from ...manifests.counted import counted
from .tiles import plain


def template(name: str) -> jinja2.Template:
    """Everything is escaped, and a name that the template does not get is an error."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: plain(value) if type(value) is str else value,  # Markup was made here
    )
    pages.filters["n"] = "{:,}".format
    pages.filters["counted"] = counted
    pages.filters["percent"] = lambda share: f"{share:.1f}%" if share == 0 or share >= 0.1 else "< 0.1%"
    return pages.get_template(name)
