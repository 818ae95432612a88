"""Every mail event has one function here, so that its name and keys are the same wherever it happens.

Keys never hold a real address: parties appear as ids, recipients as aliases, servers as host names of the
outside that a message went to only at debug level.
"""

from __future__ import annotations

from relay import log


def listening(kind: str, where: str) -> None:
    log.get().info("listening", kind=kind, where=where)


def rcpt_refused(client: str, code: str) -> None:
    """A refusal before DATA: counted and logged, not in the ledger."""
    log.get().info("rcpt-refused", client=client, code=code)


def protocol_error(client: str, what: str) -> None:
    log.get().info("protocol-error", client=client, what=what)


def accepted(trace: str, message: str, direction: str, writer: str, reader: str, size: int) -> None:
    log.get().info("accepted", trace=trace, message=message, direction=direction, writer=writer, reader=reader,
                   size=size)


def refused(trace: str, message: str, rule: str, code: str, reason: str) -> None:
    log.get().info("refused", trace=trace, message=message, rule=rule, code=code, reason=reason)


def recorded(trace: str, message: str, state: str) -> None:
    """An entry that is neither forwarded nor refused: an auto-reply, or the writer's own copy."""
    log.get().info("recorded", trace=trace, message=message, state=state)


def action_done(trace: str, message: str, action: str, party: str) -> None:
    """A sealed action address was written to by the party that it was sealed for."""
    log.get().info("action-done", trace=trace, message=message, action=action, party=party)


def action_refused(trace: str, action: str) -> None:
    log.get().info("action-refused", trace=trace, action=action)


def rule_failed(trace: str, rule: str, error: BaseException) -> None:
    log.get().error("rule-failed", trace=trace, rule=rule, error=error)


def leak_stopped(trace: str, message: str, places: str) -> None:
    log.get().error("leak-stopped", trace=trace, message=message, places=places)


def accept_failed(trace: str, error: BaseException) -> None:
    log.get().error("accept-failed", trace=trace, error=error)


def attempt(trace: str, message: str, kind: str, number: int) -> None:
    log.get().debug("attempt", trace=trace, message=message, kind=kind, number=number)


def delivered(trace: str, message: str, kind: str, attempts: int, code: str) -> None:
    log.get().info("delivered", trace=trace, message=message, kind=kind, attempts=attempts, code=code)


def deferred(trace: str, message: str, kind: str, attempts: int, code: str, next_s: float) -> None:
    log.get().warning("deferred", trace=trace, message=message, kind=kind, attempts=attempts, code=code,
                      next_s=round(next_s, 1))


def failed(trace: str, message: str, kind: str, attempts: int, code: str) -> None:
    log.get().warning("failed", trace=trace, message=message, kind=kind, attempts=attempts, code=code)


def dsn_received(trace: str, message: str, action: str, code: str) -> None:
    log.get().info("dsn-received", trace=trace, message=message, action=action, code=code)


def storage_failed(error: BaseException) -> None:
    log.get().critical("storage-failed", error=error)


def crashed(where: str, error: BaseException) -> None:
    log.get().error("crashed", where=where, error=error)


def stopping(signal: str) -> None:
    log.get().info("stopping", signal=signal)


def stopped() -> None:
    log.get().info("stopped")
