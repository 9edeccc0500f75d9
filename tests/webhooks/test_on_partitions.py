"""Webhooks from an outbox and a history in partitions: log, replay and feed are the same."""

import pytest

from tests.webhooks import test_failing, test_feed

CHOSEN = (
    test_failing.test_what_came_of_each_attempt_is_in_the_log,
    test_failing.test_what_a_disabled_endpoint_missed_can_be_replayed,
    test_failing.test_a_range_is_sent_again_in_batches_under_new_ids,
    test_failing.test_one_webhook_is_sent_again,
    test_failing.test_what_is_replayed_already_is_on_its_way,
    test_feed.test_the_feed_says_what_the_webhooks_say,
)
globals().update({test.__name__: test for test in CHOSEN})


@pytest.fixture(params=["partitioned"])
def database_url(split_url):
    return split_url
