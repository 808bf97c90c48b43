"""Print the lowest versions that pyproject.toml allows of what the daemon needs, as constraints."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def main() -> None:
    """Print them, one a line."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["demo"]]:
        requirement = Requirement(text)
        least = next(part.version for part in requirement.specifier if part.operator == ">=")
        print(f"{requirement.name}=={least}")


if __name__ == "__main__":
    main()
