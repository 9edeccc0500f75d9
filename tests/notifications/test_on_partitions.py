"""What holds of the outbox holds of one in partitions, with the history in partitions beside it: the same tests."""

import pytest

from tests.notifications import (
    test_attempts,
    test_breakers,
    test_claims,
    test_commands,
    test_drain,
    test_holding,
    test_lanes,
    test_ledger,
    test_receipts,
    test_resend,
    test_retention,
)

CHOSEN = (
    test_attempts.test_each_step_of_the_ladder_is_climbed_with_jitter_and_then_it_is_dead,
    test_attempts.test_an_end_is_an_end,
    test_attempts.test_what_is_given_back_has_spent_no_attempt,
    test_breakers.test_a_slow_endpoint_with_a_long_queue_delays_no_other,
    test_claims.test_a_claim_takes_no_more_than_its_limit,
    test_claims.test_racing_workers_take_each_message_once,
    test_claims.test_a_lane_is_first_in_first_out,
    test_claims.test_what_a_dead_worker_may_have_sent_is_uncertain_and_left_to_people,
    test_claims.test_what_has_expired_is_dead_and_does_not_hide_what_is_behind_it,
    test_claims.test_a_burst_of_webhooks_is_claimed_quickly_before_anybody_has_counted_the_table,
    test_commands.test_stats_count_what_waits_is_late_and_was_given_up,
    test_commands.test_what_waits_behind_another_in_its_lane_is_not_late,
    test_commands.test_many_are_sent_again_batch_by_batch_the_oldest_first,
    test_drain.test_a_lane_is_emptied_in_order,
    test_drain.test_an_outcome_that_the_database_refuses_in_mid_batch_is_lost_alone,
    test_holding.test_what_waited_before_the_hold_is_kept_back_where_twice_is_no_good,
    test_lanes.test_mails_about_an_account_pass_each_other_but_supersede_nothing,
    test_lanes.test_what_failed_twice_is_superseded_by_newer_news,
    test_ledger.test_a_message_tells_of_its_attempts_and_why_it_was_not_sent,
    test_ledger.test_pages_of_several_states_are_one_list,
    test_receipts.test_a_receipt_tells_that_it_arrived_and_when,
    test_receipts.test_receipts_while_the_worker_settles_lose_nothing,
    test_receipts.test_a_receipt_of_the_first_attempt_does_not_fail_the_second,
    test_resend.test_what_did_not_arrive_gets_another_attempt_under_its_own_id,
    test_resend.test_what_arrived_is_sent_as_a_new_message,
    test_resend.test_two_people_who_resend_at_once_cause_one_attempt,
    test_retention.test_settled_messages_stay_thirty_days_and_what_did_not_arrive_ninety,
    test_retention.test_attempts_go_with_their_message_and_no_others,
    test_retention.test_a_message_stays_while_another_repeats_it,
)
free_lanes, news, mine = test_breakers.free_lanes, test_lanes.news, test_ledger.mine
globals().update({test.__name__: test for test in CHOSEN})


@pytest.fixture(params=["partitioned"])
def database_url(split_url):
    return split_url
