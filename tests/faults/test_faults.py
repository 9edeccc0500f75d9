"""A short seed of the campaign, on both databases, and the harness's own parts."""

import pytest

from delivery.deliveries import states, told
from tests.faults import __main__ as command
from tests.faults import campaign, checks, plan, rules
from tests.faults.hooks import Folder
from tests.faults.round import play

KILLS, SECONDS = 10, 6.0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("database", command.DATABASES)
def test_a_short_round_breaks_no_promise(database):
    with campaign.laboratory(database) as lab:
        record, figures, breaches = play(lab, 20, kills=KILLS, seconds=SECONDS, clients=3, forgetful=12)
    assert breaches == []
    assert lab.left == []
    assert sum(figures["kills"].values()) >= KILLS / 2
    assert figures["deliveries"] >= 5
    assert len(record.received) >= 10


@pytest.mark.parametrize("database", command.DATABASES)
def test_the_same_seed_makes_the_same_plan(database):
    made = [plan.make(seed, database=database, kills=60, seconds=60) for seed in (7, 7, 8)]
    assert made[0] == made[1] != made[2]
    assert sum(blow.kills for blow in made[0]) == 60
    assert made[0] == sorted(made[0])
    assert all(0 <= blow.at <= 60 for blow in made[0])


def test_a_long_plan_has_every_fault():
    for database in command.DATABASES:
        names = {blow.name for seed in range(20) for blow in plan.make(seed, database=database, kills=60, seconds=60)}
        assert names == set(plan.names(database))


def test_a_plan_of_one_fault_has_no_other():
    assert {blow.name for blow in plan.make(1, database="sqlite", kills=5, seconds=5, only="sent")} == {"sent"}
    assert {blow.name for blow in plan.make(1, database="sqlite", kills=5, seconds=5, only="sms_429")} == {"sms_429"}


def test_the_plan_is_printed(capsys):
    assert command.main(["--plan", "--seed", "3", "--kills", "4", "--database", "sqlite"]) == 0
    wanted = plan.make(3, database="sqlite", kills=4, seconds=5)
    assert capsys.readouterr().out.splitlines() == [
        f"sqlite {blow.at:7.2f} {blow.name} {blow.choice}" for blow in wanted
    ]


def test_an_unknown_fault_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.arguments(["--only", "earthquake"])
    assert "no such fault: earthquake" in capsys.readouterr().err


def test_a_point_is_reached_as_often_as_it_was_armed(tmp_path):
    folder = Folder(tmp_path)
    assert [folder.arm("sent"), folder.arm("sent")] == [True, True]
    assert [folder.disarm("sent"), folder.disarm("sent"), folder.disarm("sent")] == [True, True, False]


# The rules were written down twice on purpose; these say that both writings agree.
def test_the_table_of_who_is_told_agrees_with_the_product():
    theirs = {
        str(event): {audience: tuple(map(str, channels)) for audience, channels in row.items()}
        for event, row in told.TOLD.items()
    }
    assert theirs == rules.TOLD


def test_the_table_of_moves_agrees_with_the_product():
    assert {(before, after) for before, ways in rules.MOVES.items() for after in ways} == set(states.MOVES)


def test_figures_are_added_up_and_the_worst_are_kept():
    def one(seed, kills, slowest, breaches):
        figures = {"deliveries": 2, "kills": {"sent": kills}, "states": {"sent": 3}, "seconds": 1.0,
                   "slowest answer, seconds": slowest}  # fmt: skip
        return {"seed": seed, "database": "sqlite", "figures": figures, "breaches": breaches}

    told = campaign.report([one(1, 2, 0.5, []), one(2, 3, 0.2, ["a breach"])])
    assert told["totals"]["kills"] == {"sent": 5}
    assert told["totals"]["slowest answer, seconds"] == 0.5
    assert told["totals"]["breaches"] == 1
    table = campaign.table(told)
    assert "| kills | 5 | 5 |" in table
    assert "Seeds 1 to 2" in table


def test_the_table_goes_between_the_markers(tmp_path):
    paper = tmp_path / "paper.md"
    paper.write_text(f"Before\n{campaign.BEGIN}\nold\n{campaign.END}\nAfter\n")
    told = campaign.report([{"seed": 1, "database": "sqlite", "breaches": [],
                             "figures": {"kills": {}, "states": {}, "seconds": 1.0}}])  # fmt: skip
    campaign.write(told, paper)
    assert paper.read_text() == f"Before\n{campaign.BEGIN}\n{campaign.table(told)}\n{campaign.END}\nAfter\n"


def test_each_planted_bug_has_a_check_that_must_see_it():
    assert {check for _, check in campaign.bugs.BROUGHT_OUT_BY.values()} <= {check.__name__ for check in checks.CHECKS}
    assert set(campaign.bugs.BUGS) == set(campaign.bugs.BROUGHT_OUT_BY)
