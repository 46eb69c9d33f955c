"""What the savers raise."""

from __future__ import annotations

from collections.abc import Sequence


class CheckpointerError(Exception):
    """A call to a checkpoint saver has failed.

    Its text has the causes as well, and `__cause__` has each of them by itself.
    """

    kind: str
    """What it means: `not_found`, `conflict`, `gone`, `invalid`, `unsupported`, `unavailable`, `full`, `internal`."""
    is_transient: bool
    """Whether the same call may succeed later."""
    is_outcome_unknown: bool
    """Whether the call may have taken effect although it failed."""
    sqlstate: str | None
    """PostgreSQL's code, if it was the server that failed."""

    def __init__(
        self,
        message: str,
        *,
        kind: str = "internal",
        is_transient: bool = False,
        is_outcome_unknown: bool = False,
        sqlstate: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.is_transient = is_transient
        self.is_outcome_unknown = is_outcome_unknown
        self.sqlstate = sqlstate

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self.args, self.__dict__)

    @classmethod
    def _from_native(
        cls,
        kind: str,
        messages: Sequence[str],
        is_transient: bool,
        is_outcome_unknown: bool,
        sqlstate: str | None,
    ) -> CheckpointerError:
        error = cls(
            ": ".join(messages),
            kind=kind,
            is_transient=is_transient,
            is_outcome_unknown=is_outcome_unknown,
            sqlstate=sqlstate,
        )
        cause: BaseException | None = None
        for message in reversed(messages[1:]):
            of_that, cause = cause, CauseError(message)
            cause.__cause__ = of_that
        error.__cause__ = cause
        return error


class CauseError(Exception):
    """Why a call to a checkpoint saver has failed: the cause of another error."""
