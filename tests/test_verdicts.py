"""What the endurance run thinks of answers, what it exits with, and its arithmetic."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from benchmarks.endurance import __main__ as command
from benchmarks.endurance.faults import FAULTS, Survived
from benchmarks.endurance.held import Held, Span, Used, minutes, quantile_ms
from benchmarks.endurance.plan import QUICK
from benchmarks.endurance.report import Report
from benchmarks.endurance.verdicts import HANGS, Hang, Publish, Stay, Verdict, judge

N = 7
OTHER = 8  # another publish


def stay(number: int, since: float = 0.0, until: float = inf, seen: bool = True, process: str = "one") -> Stay:
    return Stay(number, since, since, until, process, set() if seen else {N})


def answered(count: int, *acks: tuple[int, int], status: int | None = 200, seconds: float = 0.1) -> Publish:
    text = json.dumps({"clientCount": count, "results": acks}).encode()
    return Publish(N, sent=10.0, ended=10.0 + seconds, status=status, text=text)


STEADY = [stay(0), stay(1)]


def test_every_ack_once_is_right() -> None:
    assert judge(answered(2, (N, 1), (N, 0)), STEADY) is Verdict.RIGHT
    assert judge(answered(0), []) is Verdict.RIGHT


@pytest.mark.parametrize(
    "publish",
    [
        answered(2, (N, 0)),
        answered(1, (N, 0)),
        answered(0),
        answered(3, (N, 0), (N, 1)),
        answered(1, (N, 0), (N, 1)),
        answered(2, (N, 0), (N, 0)),
        answered(3, (N, 0), (N, 1), (N, 1)),
        answered(2, (N, 0), (OTHER, 1)),
        answered(2, (N, 0), (N, 2)),
        answered(2, (N, 0), (N, 1), status=500),
        Publish(N, 10.0, 10.1, 200, b"{}"),
        Publish(N, 10.0, 10.1, 200, b""),
    ],
)
def test_what_is_wrong_of_an_answer_about_two_sockets_that_were_there_all_the_time(publish: Publish) -> None:
    assert judge(publish, STEADY) is Verdict.WRONG


def test_an_ack_of_a_socket_that_was_not_sent_the_envelope_is_wrong() -> None:
    assert judge(answered(2, (N, 0), (N, 1)), [stay(0), stay(1, seen=False)]) is Verdict.WRONG


@pytest.mark.parametrize("other", [stay(1, until=10.05), stay(1, since=10.05), stay(1, until=9.9), stay(1, until=10.2)])
def test_a_socket_that_came_or_went_meanwhile_may_count_and_may_have_acked(other: Stay) -> None:
    for publish in (answered(1, (N, 0)), answered(2, (N, 0)), answered(2, (N, 0), (N, 1))):
        assert judge(publish, [stay(0), other]) is Verdict.RIGHT
    assert judge(answered(1, (N, 1)), [stay(0), other]) is Verdict.WRONG


def test_a_socket_that_has_said_goodbye_may_count_until_it_is_gone() -> None:
    other = replace(stay(1, until=20.0), leaving=9.0)
    for publish in (answered(1, (N, 0)), answered(2, (N, 0)), answered(2, (N, 0), (N, 1))):
        assert judge(publish, [stay(0), other]) is Verdict.RIGHT
    assert judge(answered(1, (N, 0)), [stay(0), replace(other, leaving=10.2)]) is Verdict.WRONG


@pytest.mark.parametrize("other", [stay(1, until=5.0), stay(1, since=12.0)])
def test_a_socket_that_had_gone_or_had_not_come_does_not_count(other: Stay) -> None:
    assert judge(answered(1, (N, 0)), [stay(0), other]) is Verdict.RIGHT
    assert judge(answered(2, (N, 0)), [stay(0), other]) is Verdict.WRONG


def test_sockets_of_a_process_that_hangs_may_be_left_out_and_no_others() -> None:
    stays = [stay(0), stay(1, process="two")]
    hang = Hang("two", 9.0, 11.0)
    assert judge(answered(1, (N, 0)), stays, hang) is Verdict.SHORT
    assert judge(answered(2, (N, 0)), stays, hang) is Verdict.RIGHT
    assert judge(answered(1, (N, 1)), stays, hang) is Verdict.WRONG
    assert judge(answered(1, (N, 0)), stays, Hang("two", 10.2, 11.0)) is Verdict.WRONG


def test_without_an_answer_of_the_service() -> None:
    assert judge(answered(0, status=503), STEADY) is Verdict.REFUSED
    assert judge(answered(0, status=None), STEADY) is Verdict.CLOSED
    assert judge(answered(0, status=None, seconds=HANGS), STEADY) is Verdict.HUNG


def held(sockets_lost: int = 0, warm_up: Verdict = Verdict.RIGHT, *verdicts: Verdict) -> Held:
    span = Span(1.0, Counter([Verdict.RIGHT, *verdicts]), [0.001], {"process 1": 2**20})
    used = {"process 1": Used(0.5, 2**20, 2**20, span.publishes, 1.0)}
    return Held([span, span], Span(1.0, Counter([warm_up])), used, {"process 1": 2}, sockets_lost, [], 0.0)


def survived(*verdicts: Verdict, back: float = 0.1) -> Survived:
    return Survived(FAULTS[0], Counter(verdicts), Counter([200]), 0, 1.0, 3.0, back, [], [])


GOOD = [Report(QUICK, held()), Report(QUICK, None, [survived(Verdict.RIGHT, Verdict.REFUSED, Verdict.SHORT)])]
BAD = [
    Report(QUICK, held(1)),
    Report(QUICK, held(0, Verdict.WRONG)),
    *(Report(QUICK, held(0, Verdict.RIGHT, verdict)) for verdict in Verdict if verdict is not Verdict.RIGHT),
    Report(QUICK, held(), [survived(Verdict.RIGHT), survived(Verdict.WRONG)]),
    Report(QUICK, None, [survived(Verdict.HUNG)]),
    Report(QUICK, None, [survived(Verdict.RIGHT, back=inf)]),
]


def run(report: Report, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["endurance", "--only", "idle", "--json", str(file)])
    monkeypatch.setattr(command, "allow_open_files", lambda count: None)
    monkeypatch.setattr(command, "run", lambda plan, names, progress: report)
    command.main()


@pytest.mark.parametrize("report", GOOD)
def test_success(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(report, tmp_path / "found.json", monkeypatch)


@pytest.mark.parametrize("report", BAD)
def test_whatever_was_lost_or_wrong_is_said_by_the_exit_status(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables and the file are written all the same."""
    with pytest.raises(SystemExit) as exit_:
        run(report, tmp_path / "found.json", monkeypatch)
    assert exit_.value.code == 1
    assert "###" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["plan"]


@pytest.mark.parametrize("wrong", [("--seconds", "0"), ("--rate", "much"), ("--users", "0"), ("--only", "nothing")])
def test_what_makes_no_sense_is_refused(
    wrong: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["endurance", *wrong])
    with pytest.raises(SystemExit):
        command.arguments()
    assert f"argument {wrong[0]}: invalid" in capsys.readouterr().err


def test_minutes() -> None:
    """A rest that is too short to be judged by itself belongs to the last minute."""
    assert list(minutes(600)) == [60] * 10
    assert list(minutes(130)) == [60, 70]
    assert list(minutes(145)) == [60, 60, 25]
    assert list(minutes(5)) == [5]


def test_quantiles() -> None:
    values = [number / 1000 for number in range(1, 1001)]
    assert [round(quantile_ms(values, share)) for share in (0.5, 0.999, 1.0)] == [501, 1000, 1000]
    assert quantile_ms([], 0.5) == 0
