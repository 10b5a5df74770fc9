from stenoscope.data.problems import Problem, count_of, in_order


def test_the_worst_comes_first_and_equals_stay_as_they_came():
    problems = [
        Problem(severity, str(n)) for n, severity in enumerate(("note", "leak", "stop", "leak", "warning"))
    ]
    assert [problem.title for problem in in_order(problems)] == ["1", "3", "2", "4", "0"]


def test_a_terminal_gets_three_places():
    assert Problem("stop", "Bad.").sentence == "Bad."
    assert Problem("stop", "Bad.", items=["a", "b", "c"]).sentence == "Bad. (a, b, c)"
    assert Problem("stop", "Bad.", items=list("abcd")).sentence == "Bad. (a, b, c, ...)"


def test_numbers_agree_with_their_nouns():
    assert [count_of(number, "clip") for number in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
