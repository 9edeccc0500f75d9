"""Tells a TLS connection that was never made, over which nothing was sent, from one that broke later."""

from traceback import walk_tb

# Where Python and urllib3 raise; the errors themselves look the same while an answer is read.
_MAKING = frozenset({"do_handshake", "_match_hostname"})


def failed_in_handshake(error: BaseException | None) -> bool:
    """Tell whether an error, or one that led to it, was raised before the connection was made."""
    while error is not None:
        if any(frame.f_code.co_name in _MAKING for frame, _ in walk_tb(error.__traceback__)):
            return True
        error = error.__cause__ or error.__context__
    return False
