"""How pages are made of templates: what is put in is escaped, and what is missing is an error."""

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def template(name: str) -> Template:
    """The template of that name among those of this package."""
    environment = Environment(
        loader=PackageLoader("odeclaims.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
