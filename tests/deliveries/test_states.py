"""The table of moves, cell by cell: every pair of states, every set of parts, before and after pick-up."""

from itertools import chain, combinations, product

import pytest

from delivery.deliveries import states
from delivery.deliveries.states import MOVES, TERMINAL, Part, State, allowed, is_legal
from tests.deliveries.contract import STATES, TABLE, legal, may

PARTS = ["owner", "courier", "dispatcher"]
EVERY_SET_OF_PARTS = list(chain.from_iterable(combinations(PARTS, size) for size in range(4)))


def test_the_states_are_those_of_the_contract():
    assert [str(state) for state in State] == STATES
    assert {str(part) for part in Part} == set(PARTS)


@pytest.mark.parametrize("picked_up", [False, True])
def test_a_move_is_legal_exactly_where_the_table_says_so(picked_up):
    for source, target in product(STATES, STATES):
        expected = legal(source, target, picked_up=picked_up)
        assert is_legal(State(source), State(target), picked_up=picked_up) == expected, (source, target)


@pytest.mark.parametrize("picked_up", [False, True])
@pytest.mark.parametrize("parts", EVERY_SET_OF_PARTS, ids=" and ".join)
def test_each_part_is_allowed_its_own_moves_and_no_others(parts, picked_up):
    given = frozenset(Part(part) for part in parts)
    for source in STATES:
        expected = [to for to in STATES if legal(source, to, picked_up=picked_up) and may(source, to, parts)]
        assert allowed(State(source), given, picked_up=picked_up) == expected, source


def test_somebody_without_a_part_may_do_nothing():
    for source, picked_up in product(State, [False, True]):
        assert allowed(source, frozenset(), picked_up=picked_up) == []


def test_a_dispatcher_may_make_every_legal_move():
    assert all(Part.DISPATCHER in parts for parts in MOVES.values())
    assert len(MOVES) == sum(map(len, TABLE.values()))


def test_finished_is_where_nothing_leads_out_of():
    sources = set(chain.from_iterable(TABLE.values()))
    assert sorted(TERMINAL) == sorted(set(STATES) - sources)


def test_every_state_can_be_reached():
    reached = {"draft", "pending"}
    for _ in STATES:
        reached |= {target for target, sources in TABLE.items() if reached & set(sources)}
    assert reached == set(STATES)


def test_every_state_but_the_finished_ones_can_be_finished_even_after_pick_up():
    """Nothing gets stuck: from wherever a picked-up parcel may be, a way leads to an end."""
    for start in set(STATES) - {"draft", "pending", "assigned", "cancelled"}:
        reached = {start}
        for _ in STATES:
            reached |= {to for to in STATES for source in reached if legal(source, to, picked_up=True)}
        assert reached & {"delivered", "returned", "lost"}, start


def test_nothing_is_deletable_that_is_on_the_road():
    assert {str(state) for state in states.DELETABLE} == {
        "draft", "pending", "assigned", "cancelled", "on_hold", "attempt_failed",
    }  # fmt: skip
