"""Errors that a user can cause and mend."""


class UserError(ValueError):
    """Something the user gave does not work. The message is one readable sentence: what, where, what to do.

    The command line prints the message alone; the traceback goes to the log.
    """
