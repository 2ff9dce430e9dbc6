"""The lint check of words, docstrings and variable names."""

from __future__ import annotations

from pathlib import Path

import pytest
from lint.plain_english import find_all, main, read_words


@pytest.fixture
def words_file(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("# a comment\nfoo(s|ed)? -> bar\nin one go -> at once\n")
    return file


def messages(words_file: Path, name: str, text: str) -> list[str]:
    file = words_file.with_name(name)
    file.write_text(text)
    return [f"{line} {message}" for line, message in find_all(file, read_words(words_file))]


def test_a_word_is_found_with_its_line_and_a_suggestion(words_file: Path) -> None:
    assert messages(words_file, "page.md", "first\nIt Fooed.\n") == ["2 'Fooed': write bar"]


def test_a_part_of_a_longer_word_is_no_finding(words_file: Path) -> None:
    assert messages(words_file, "page.md", "food, buffoo and foos_\n") == ["1 'foos': write bar"]


def test_a_phrase_is_found_across_a_line_break_in_a_comment(words_file: Path) -> None:
    assert messages(words_file, "module.py", "# all in\n# one go\n") == ["1 'in # one go': write at once"]


def test_a_function_docstring_opens_with_no_interrogative(words_file: Path) -> None:
    text = 'def f() -> None:\n    """How it ends."""\n\n\ndef g() -> None:\n    """Return whether it ends."""\n'
    expected = "2 docstring opens with 'How'; open with a verb or a noun phrase"
    assert messages(words_file, "module.py", text) == [expected]


def test_a_field_docstring_may_say_where_but_not_of_what(words_file: Path) -> None:
    text = 'class A:\n    x: int\n    """Where it is."""\n    y: int\n    """Of the image."""\n'
    expected = "5 docstring opens with 'Of'; open with a verb or a noun phrase"
    assert messages(words_file, "module.py", text) == [expected]


def test_variables_and_parameters_need_a_name_with_content(words_file: Path) -> None:
    text = "def f(own: int) -> list[int]:\n    return [each + own for each in range(3)]\n"
    expected = ["1 variable 'own': name its content", "2 variable 'each': name its content"]
    assert messages(words_file, "module.py", text) == expected


def test_the_exit_code_says_whether_there_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clean.py").write_text("x = 1\n")
    assert main([str(tmp_path)]) == 0
    (tmp_path / "weak.py").write_text("each = 1\n")
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{tmp_path / 'weak.py'}:1: variable 'each': name its content\n"
