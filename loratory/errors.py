"""Errors that a user can cause and mend."""


class UserError(ValueError):
    """Something the user gave does not work. The message is one readable sentence: what, where, what to do.

    The command line prints the message alone; the traceback goes to the log. `code` is the kind for programs, such as
    missing_model; it stays the same when the words change.
    """

    code: str = "invalid"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
