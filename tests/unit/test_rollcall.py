from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime import events
from realtime.rollcall import RollCall, WatchedRollCall

PROCESSES = ["p", "q", "r"]
processes = st.sampled_from(PROCESSES)
numbers = st.integers(0, 3)


class Deliveries(RuleBasedStateMachine):
    """Any interleaving of the layer's count, reports, acks, goodbyes, repetitions, probes and silence."""

    def __init__(self) -> None:
        super().__init__()
        self.roll_call = RollCall()
        self.reached: int | None = None
        self.matched: dict[str, int] = {}
        self.settled: dict[str, set[int]] = {}
        self.results: list[str] = []
        self.lost: set[str] = set()
        self.probed: set[str] = set()
        self.heard: set[str] = set()

    def tell(self, event: events.Event) -> None:
        self.heard.add(event["process"])
        self.settled.setdefault(event["process"], set())
        self.roll_call.receive(event)

    def awaited(self, process: str) -> bool:
        if process in self.lost:
            return False
        return process not in self.matched or len(self.settled[process]) < self.matched[process]

    @precondition(lambda self: self.reached is None)
    @rule(count=st.integers(0, 3))
    def the_layer_counts(self, count: int) -> None:
        self.reached = count
        self.roll_call.reached(count)

    @rule(process=processes, matched=numbers)
    def a_process_reports(self, process: str, matched: int) -> None:
        if process not in self.matched:
            self.matched[process] = matched
        self.tell(events.report(process, self.matched[process]))

    @rule(process=processes, socket=numbers, acks=st.booleans())
    def a_socket_acks_or_goes(self, process: str, socket: int, acks: bool) -> None:
        if socket >= self.matched.get(process, 4):
            return  # a socket that was not counted says nothing
        if acks and socket not in self.settled.get(process, set()):
            self.results.append(f"{process}{socket}")
        self.tell(events.ack(process, socket, f"{process}{socket}") if acks else events.gone(process, socket))
        self.settled[process].add(socket)

    @rule(process=processes)
    def a_process_answers_a_probe(self, process: str) -> None:
        if process in self.matched:
            self.tell(events.here(process))

    @rule()
    def time_passes(self) -> None:
        self.reached = 0  # whoever has not reported is given up
        for process in self.settled:
            if self.awaited(process) and (
                process not in self.matched or (process in self.probed and process not in self.heard)
            ):
                self.lost.add(process)
        to_probe = {process for process in self.settled if self.awaited(process)}
        assert set(self.roll_call.check()) == to_probe
        self.probed |= to_probe
        self.heard.clear()

    @invariant()
    def it_counts_each_socket_once_and_waits_for_nobody_else(self) -> None:
        assert self.roll_call.results == self.results
        assert self.roll_call.client_count == sum(self.matched.values())
        everybody_spoke = self.reached is not None and len(self.settled) >= self.reached
        assert self.roll_call.complete == (everybody_spoke and not any(map(self.awaited, self.settled)))


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


@given(st.permutations(["reached", "report", "ack", "gone"]))
def test_the_answer_is_the_same_whatever_comes_first(order: list[str]) -> None:
    """The layer's count, a report, an ack and a goodbye may overtake each other."""
    roll_call = RollCall()
    for step in order:
        assert not roll_call.complete
        if step == "reached":
            roll_call.reached(1)
        else:
            roll_call.receive(
                {"report": events.report("p", 2), "ack": events.ack("p", 1, "1"), "gone": events.gone("p", 2)}[step]
            )
    assert roll_call.complete
    assert (roll_call.client_count, roll_call.results) == (2, ["1"])


def test_nobody_reached_is_complete_at_once() -> None:
    roll_call = RollCall()
    roll_call.reached(0)
    assert roll_call.complete


def test_a_process_that_dies_after_its_report_is_given_up_after_an_unanswered_probe() -> None:
    roll_call = RollCall()
    roll_call.reached(1)
    roll_call.receive(events.report("p", 2))
    assert roll_call.check() == ["p"]
    assert not roll_call.complete
    assert roll_call.check() == []
    assert roll_call.complete
    assert roll_call.client_count == 2


def test_a_process_that_answers_its_probes_is_waited_for() -> None:
    roll_call = RollCall()
    roll_call.reached(1)
    roll_call.receive(events.report("p", 1))
    for _ in range(10):
        assert roll_call.check() == ["p"]
        roll_call.receive(events.here("p"))
    assert not roll_call.complete


def test_who_watches_hears_each_answer_and_of_a_process_that_is_given_up_once() -> None:
    heard: list[events.Event] = []
    roll_call = WatchedRollCall(True, heard.append)
    roll_call.reached(2)
    answers = [events.report("p", 1), events.ack("p", 1, "1"), events.report("q", 1)]
    for answer in answers:
        roll_call.receive(answer)
    assert roll_call.check() == ["q"]
    assert roll_call.check() == []
    assert roll_call.check() == []
    assert heard == [*answers, events.gone("q", 0)]
    assert (roll_call.client_count, roll_call.results, roll_call.complete) == (2, ["1"], True)
