"""Three bugs, planted on purpose into the running system: a harness that does not find them proves nothing."""

from dataclasses import replace


def plant(name):
    """Plant a bug by name; nothing when there is no name."""
    if name:
        BUGS[name]()


def commit_after_send():
    """The hand-off is committed with the outcome, after the send: whoever dies between has left no trace of it."""
    from delivery.notifications import attempts  # noqa: PLC0415  after the pace

    hand_off, settle = attempts.hand_off, attempts.settle

    def late_hand_off(messages, **_):
        return [replace(message, attempts=message.attempts + 1) for message in messages]

    def settle_all(results):
        if results:
            hand_off([result.message for result in results], provider="late")
        return settle(results)

    attempts.hand_off, attempts.settle = late_hand_off, settle_all


def no_lease_check():
    """A lease that nobody heeds: a worker takes what another one has in its hands."""
    from delivery.database import now  # noqa: PLC0415  after the pace
    from delivery.notifications import attempts  # noqa: PLC0415  after the pace

    attempts.LEASE_SECONDS = 0
    attempts.new_lease = lambda: {"lease_until": now(), "next_at": now()}
    attempts._HAND_OFF_ALL = attempts._hand_off_all()


def wake_before_commit():
    """The worker is woken while the transaction is still open, finds nothing, and sleeps on."""
    from delivery.notifications import services  # noqa: PLC0415  after the pace

    services.after_commit = lambda callback, argument: callback(argument)


BUGS = {
    "commit_after_send": commit_after_send,
    "no_lease_check": no_lease_check,
    "wake_before_commit": wake_before_commit,
}
# The faults that bring each out, and the check that must see it. SQLite is no place for the last one: its claim waits
# for the write lock, and so for the commit that it was woken before.
BROUGHT_OUT_BY = {
    "commit_after_send": ("sent", "twice_only_where_allowed"),
    "no_lease_check": ("worker_child", "uncertain_only_for_a_reason"),
    "wake_before_commit": ("after_wake", "woken_after_the_commit"),
}
