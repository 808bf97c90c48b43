"""Print the lowest allowed versions of the daemon's dependencies as constraints, from pyproject.toml."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def main() -> None:
    """Print one constraint per line."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["demo"]]:
        requirement = Requirement(text)
        lowest = next(part.version for part in requirement.specifier if part.operator == ">=")
        print(f"{requirement.name}=={lowest}")


if __name__ == "__main__":
    main()
