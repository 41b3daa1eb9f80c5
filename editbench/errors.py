"""The one kind of failure that is the user's to mend."""


class UsageError(Exception):
    """Says what is wrong, what exists and what to do; printed without a traceback, exit code 2."""
