"""Every command on every kind of run: the right words and the right exit code, and never a traceback."""

import pytest

from tests.situations import COMMANDS, DOC, EXPECTED, KINDS, every_command, page


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_says_what_it_must_of_every_kind(tmp_path, kind):
    said = {command: (code, text) for command, code, text in every_command(kind, tmp_path)}
    assert set(said) == set(EXPECTED[kind])
    for command, (code, words) in EXPECTED[kind].items():
        assert said[command][0] == code, said[command]
        assert words in said[command][1], (command, said[command][1])
        assert "This is a fault of tolerance" not in said[command][1]
        assert said[command][1].count("error: ") == code


def test_the_page_of_situations_says_the_same():
    assert set(EXPECTED) == set(KINDS)
    assert all(set(said) <= set(COMMANDS) for said in EXPECTED.values())
    assert DOC.read_text() == page()
