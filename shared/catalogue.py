"""The catalogue of examples: nothing else in the harness names one."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CANONICAL = ROOT / "shared" / "greetings.json"


@dataclass(frozen=True)
class Example:
    """One example: where it is and which URLs it answers, relative to its mount."""

    id: str
    name: str  # on the pages
    directory: str
    list_url: str
    item_url: str
    console_urls: tuple[str, ...] = ()
    spec_url: str | None = None
    hello_url: str | None = None
    recipes: bool = True  # whether RECIPES.md is for it

    @property
    def path(self) -> Path:
        """The directory that is deployed."""
        return ROOT / self.directory

    @property
    def readme(self) -> Path:
        """What the example's directory says about it."""
        return self.path / "README.md"

    @property
    def negotiates(self) -> bool:
        """Whether the list itself is a console for a client that accepts text/html."""
        return self.list_url in self.console_urls

    @property
    def links(self) -> list[tuple[str, str]]:
        """Labels and paths of what a person opens first."""
        consoles = [("Console", url) for url in self.console_urls if "{" not in url]
        hello = [("Hello", self.hello_url)] if self.hello_url else []
        return [("API", self.list_url), *consoles, *hello]


EXAMPLES = (
    Example(
        id="restx",
        name="Flask-RESTX",
        directory="flask-restx-example",
        list_url="/greetings/",
        item_url="/greetings/{lang}",
        console_urls=("/",),
        spec_url="/swagger.json",
    ),
    Example(
        id="api",
        name="Flask-API",
        directory="flask-api-example",
        list_url="/",
        item_url="/{lang}",
        console_urls=("/", "/{lang}"),
    ),
    Example(
        id="flasgger",
        name="Flasgger",
        directory="flask-flasgger-example",
        list_url="/greetings/",
        item_url="/greetings/{lang}/",
        console_urls=("/apidocs/",),
        spec_url="/apispec_1.json",
    ),
    Example(
        id="credentials",
        name="plain Flask",
        directory="credentials-example",
        list_url="/greetings/",
        item_url="/greetings/{lang}",
        hello_url="/hello",
    ),
)
