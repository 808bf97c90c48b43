"""The text of HTML and XML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.tigr.markup import is_markup, plain_text, title_and_text


@pytest.mark.parametrize(
    "markup,text",
    [
        ("", ""),
        ("<h1>502</h1> Bad <b>Gateway</b>", "502 Bad Gateway"),
        ("<p class='a'\nid=b>one<br/>two", "one two"),
        ("<style>a{}</style>one<SCRIPT src=x>if (a<b) {}</Script >two<script>cut off", "one two"),
        ("<scripted>one</scripted><styles>two", "one two"),
        ("<script>a</scripts>b</script x=y>one", "one"),
        ("one<!-- <p>hidden</p> > -->two<!-- cut off", "one two"),
        ("one<!-- <p>cut off", "one"),
        ("<!doctype html><?xml version='1.0'?>one<p cut off", "one"),
        ("a &lt; b &amp;&nbsp;c&#160;&#x43;&euro;", "a < b & c C€"),
        ("1 < 2 <3 > <", "1 < 2 <3 > <"),
        ("&#" + "9" * 5000 + ";", "\ufffd"),
        ("&#x" + "f" * 5000 + ";", "\ufffd"),
    ],
)
def test_markup_becomes_one_line_of_text(markup: str, text: str) -> None:
    """Tags, comments, scripts and styles are removed, closed or not, and entities are resolved."""
    assert plain_text(markup) == text


@pytest.mark.parametrize(
    "markup,parts",
    [
        ("<title>502 &amp; so on</title><p>Bad gateway", ("502 & so on", "Bad gateway")),
        ("<html><TITLE lang=en>cut off", ("cut off", "")),
        ("<p>no title</p>", ("", "no title")),
    ],
)
def test_the_title_is_apart_from_the_text(markup: str, parts: tuple[str, str]) -> None:
    """A page often repeats its title, so the caller can compare both."""
    assert title_and_text(markup) == parts


@pytest.mark.parametrize("text", ["<!DOCTYPE html>", "<html>", "<?xml version='1.0'?>", "denied</p>"])
def test_markup_starts_with_a_tag_or_closes_one(text: str) -> None:
    """One tag in such a place is enough."""
    assert is_markup(text)


@pytest.mark.parametrize("text", ["", "field <username> is missing", "< 5 fields", "<<<"])
def test_plain_text_may_have_angle_brackets(text: str) -> None:
    """A name in angle brackets and a comparison are not markup."""
    assert not is_markup(text)


@given(st.text(st.sampled_from("<>/!-&;#9xasctile \n\"'"), max_size=60) | st.text(max_size=60))
def test_any_text_is_one_line_that_is_not_longer(markup: str) -> None:
    """Resolving markup raises nothing and adds nothing."""
    for text in (plain_text(markup), *title_and_text(markup)):
        assert len(text) <= len(markup)
        assert " ".join(text.split()) == text
