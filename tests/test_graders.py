"""Grading: where an answer ends, what rule applies, and that nothing is silently wrong."""

import pytest

from tolerance.runners.tasks.base import Grader, Item
from tolerance.runners.tasks.graders import answer_of, grade


def item(grader: Grader, *answers: str, candidates: tuple[str, ...] = ()) -> Item:
    return Item("i", "t", "other", None, "?", answers, None, None, None, 0, grader, candidates)


NAMES = ("Bada Kolo", "Bada Kolomi", "Kolo", "Rema")


@pytest.mark.parametrize(
    ("made", "text", "k", "n", "parse_ok"),
    [
        (item("named", "Rema", candidates=NAMES), "It is rema.", 1, 1, True),
        (item("named", "Rema", candidates=NAMES), "Rema or Kolo", 0, 1, True),
        (item("named", "Kolo", candidates=NAMES), "Bada Kolo", 0, 1, True),
        (item("named", "Bada Kolo", candidates=NAMES), "Bada Kolomi", 0, 1, True),
        (item("named", "Bada Kolo", "Rema", candidates=NAMES), "1. Rema\n2. Bada Kolo", 2, 2, True),
        (item("named", "Bada Kolo", "Rema", candidates=NAMES), "Rema, Kolo", 0, 2, True),
        (item("named", "Bada Kolo", "Rema", candidates=NAMES), "Rema, Rema", 1, 2, True),
        (item("named", "12345", candidates=("12345", "99999")), "The code is 12,345", 1, 1, True),
        (item("named", "12345", candidates=("12345", "99999")), "I do not know", 0, 1, False),
        (item("named", "3", candidates=("1", "2", "3")), "Three people did.", 1, 1, True),
        (item("named", "1", candidates=("1", "2", "3")), "12", 0, 1, True),
        (item("exact", "The Hague"), "  the hague!", 1, 1, True),
        (item("exact", "Hague", "The city of Hague"), "city of hague", 1, 1, True),
        (item("exact", "Hague"), "Hague and Delft", 0, 1, True),
        (item("exact", "Hague"), "...", 0, 1, False),
        (item("contains", "red", "blue"), "blue, and red", 2, 2, True),
        (item("contains", "red", "blue"), "reddish blue", 1, 2, True),
        (item("any", "red", "scarlet"), "It is scarlet red", 1, 1, True),
        (item("choice", "B"), "B) because", 1, 1, True),
        (item("choice", "B"), "The answer is (B).", 1, 1, True),
        (item("choice", "A"), "A good question", 0, 1, False),
        (item("choice", "B"), "C", 0, 1, True),
        (item("number", "42"), "6 x 7 = 42.", 1, 1, True),
        (item("number", "0.5"), "about -0.5", 0, 1, True),
        (item("number", "1000"), "1,000", 1, 1, True),
        (item("number", "42"), "forty-two", 0, 1, False),
    ],
)
def test_rules_count_right_parts(made, text, k, n, parse_ok):
    judged = grade(made, text, stopped=True)
    assert (judged.k, judged.n, judged.parse_ok) == (k, n, parse_ok)


@pytest.mark.parametrize(
    ("text", "one_line", "answer", "ended"),
    [
        ("\n Karos\nQuestion: next?", True, "Karos", True),
        ("Karos", True, "Karos", False),
        ("a,\nb\n\nc", False, "a,\nb", True),
        ("The answer is:\nKaros\nmore", True, "The answer is:\nKaros", True),
        ("The answer is:", True, "The answer is:", False),
        ("<think>Karos or Bela?</think>\nBela\n", True, "Bela", True),
        ("<think>Karos", True, "", False),
        ("", True, "", False),
    ],
)
def test_an_answer_ends_with_its_line_or_paragraph(text, one_line, answer, ended):
    assert answer_of(text, one_line=one_line) == (answer, ended)


def test_what_comes_after_the_answer_neither_helps_nor_counts_as_cut_off():
    made = item("named", "Rema", candidates=NAMES)
    later = grade(made, "Kolo\nRema", stopped=False)
    assert (later.k, later.truncated) == (0, False)
    assert not grade(made, "Rema\nKolo", stopped=False).truncated


def test_an_answer_at_the_limit_is_truncated_unless_the_model_stopped():
    made = item("named", "Rema", candidates=NAMES)
    assert grade(made, "Well, the name", stopped=False).truncated
    assert not grade(made, "Rema", stopped=True).truncated
    silent = grade(made, "", stopped=True)
    assert (silent.k, silent.parse_ok, silent.truncated) == (0, False, False)
