"""Bars say how far each stage is, once, and end with a line of their own."""

from softlyte.screening.progress import Bars


def test_stages_are_drawn_and_closed(capsys) -> None:
    bars = Bars(seconds=0.0)
    for done in (10, 40, 100):
        bars("network", done, 100)
    bars("network", 100, 100)
    bars("hull", 3, 3)
    shown = [line.rsplit("\r", 1)[-1] for line in capsys.readouterr().out.strip().split("\n")]
    assert [line.split("|")[0].strip() for line in shown] == ["network", "hull"]
    assert "100 of 100" in shown[0]
    assert "3 of 3" in shown[1]


def test_a_stage_that_starts_anew_gets_a_bar_again(capsys) -> None:
    bars = Bars(seconds=0.0)
    for total in (2, 4):
        bars("hull", total, total)
    assert capsys.readouterr().out.count("\n") == 2
