"""The licenses of the packages: read from the metadata of installed ones, and judged."""

from __future__ import annotations

from importlib.metadata import Distribution

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

# The installations may contain packages under these licenses (SPDX identifiers). None requires that this project, or a
# program that uses it, is under the same license.
ALLOWED = frozenset({"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"})
_CLASSIFIER = "License :: OSI Approved :: "
# The classifier "BSD License" means several licenses, so it decides nothing.
_OF_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Its metadata has only a vague classifier; its text is that license.
_FROM_TEXT = {"jinja2": "BSD-3-Clause"}
_TEXT_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")


def is_allowed(expression: str) -> bool:
    """Return True if an SPDX expression permits the use under allowed licenses only.

    Parentheses and exceptions (`WITH`) are not supported: an expression with them is not allowed.
    """
    return any(all(name in ALLOWED for name in choice.split(" AND ")) for choice in expression.split(" OR "))


def expression(distribution: Distribution) -> str:
    """Return the license of an installed package as an SPDX expression; an empty string if its metadata names none."""
    metadata = distribution.metadata
    for field in ("License-Expression", "License"):
        try:
            return str(canonicalize_license_expression(next(iter(metadata.get_all(field, [])), "")))
        except InvalidLicenseExpression:
            continue  # older packages have free text in the second field
    classifiers = [text.removeprefix(_CLASSIFIER) for text in metadata.get_all("Classifier", []) if _CLASSIFIER in text]
    known = [_OF_CLASSIFIERS.get(classifier, "") for classifier in classifiers]
    return " OR ".join(sorted(known)) if known and all(known) else _FROM_TEXT.get(metadata["Name"].lower(), "")


def texts(distribution: Distribution) -> dict[str, str]:
    """Return the license texts that the wheel of an installed package contains, by file name."""
    contents = {}
    for file in distribution.files or []:
        if ".dist-info" in file.parts[0] and file.name.upper().startswith(_TEXT_NAMES):
            name = "/".join(file.parts[1:]).removeprefix("licenses/")
            contents[name] = _without_trailing_space(file.read_text(encoding="utf-8"))
    return dict(sorted(contents.items()))


def _without_trailing_space(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
