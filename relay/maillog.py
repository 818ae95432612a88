"""Every mail event has one function here, so that its name and keys are the same wherever it happens, and counted.

Keys never hold a real address: parties appear as ids, recipients as aliases, servers as host names of the
outside that a message went to only at debug level.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay import log, metrics


def listening(kind: str, where: str) -> None:
    log.get().info("listening", kind=kind, where=where)


def login(result: str, client: str, party: str | None = None) -> None:
    """A password was tried. The name that was given is not logged: it may be an address, or the password itself."""
    metrics.LOGINS.labels(result).inc()
    log.get().info("login", result=result, client=client, party=party)


def certificate_reloaded() -> None:
    log.get().info("certificate-reloaded")


def certificate_refused(problem: str) -> None:
    """The files have changed and cannot be used: the old certificate goes on."""
    log.get().error("certificate-refused", problem=problem)


def rcpt_refused(client: str, code: str) -> None:
    """A refusal before DATA: counted and logged, not in the ledger."""
    metrics.RCPT_REFUSED.labels(code).inc()
    log.get().info("rcpt-refused", client=client, code=code)


def protocol_error(client: str, what: str) -> None:
    metrics.PROTOCOL_ERRORS.inc()
    log.get().info("protocol-error", client=client, what=what)


def only_observed(keys: Sequence[str]) -> None:
    """Others can reach a listener, and these keys let who writes go unauthenticated."""
    log.get().warning("only-observed", keys=keys)


def client_abuse(client: str, what: str) -> None:
    """What fail2ban counts (conf/fail2ban): the line's form is a contract. `what` is a text of ours, never theirs."""
    metrics.CLIENT_ABUSE.inc()
    log.get().warning("client-abuse", client=client, what=what)


def turned_away(why: str, error: OSError | None) -> None:
    """Connections were refused, through no fault of their own; one line a second speaks for all."""
    log.get().error("turned-away", why=why, error=error)


def accepted(trace: str, message: str, direction: str, writer: str, reader: str, size: int, *,
             held: bool = False) -> None:
    metrics.ACCEPTED.labels(direction).inc()
    metrics.ACCEPTED_BYTES.inc(size)
    metrics.HELD.inc(held)
    log.get().info("accepted", trace=trace, message=message, direction=direction, writer=writer, reader=reader,
                   size=size, held=held)


def refused(trace: str, message: str, rule: str, code: str, reason: str) -> None:
    metrics.REFUSED.labels(rule).inc()
    log.get().info("refused", trace=trace, message=message, rule=rule, code=code, reason=reason)


def recorded(trace: str, message: str, state: str) -> None:
    """An entry that is neither forwarded nor refused: an auto-reply, or the writer's own copy."""
    metrics.RECORDED.labels(state).inc()
    log.get().info("recorded", trace=trace, message=message, state=state)


def repeated(trace: str, message: str) -> None:
    """The client brought an accepted message once more: answered 250 and not forwarded again."""
    metrics.RECORDED.labels("repeated").inc()
    log.get().info("repeated", trace=trace, message=message)


def action_done(trace: str, message: str, action: str, party: str) -> None:
    """A sealed action address was written to by the party that it was sealed for."""
    log.get().info("action-done", trace=trace, message=message, action=action, party=party)


def action_refused(trace: str, action: str) -> None:
    log.get().info("action-refused", trace=trace, action=action)


def rule_failed(trace: str, rule: str, error: BaseException) -> None:
    metrics.RULE_FAILURES.inc()
    log.get().error("rule-failed", trace=trace, rule=rule, error=error)


def leak_stopped(trace: str, message: str, places: str) -> None:
    metrics.LEAKS.inc()
    log.get().error("leak-stopped", trace=trace, message=message, places=places)


def accept_failed(trace: str, error: BaseException) -> None:
    metrics.ACCEPT_FAILURES.inc()
    log.get().error("accept-failed", trace=trace, error=error)


def unsigned(domain: str) -> None:
    """A message leaves without DKIM: the ring holds no signing key of its relay domain."""
    log.get().warning("unsigned", domain=domain, mend="tradepost key rotate --dkim --domain " + domain)


def attempt(trace: str, message: str, kind: str, number: int) -> None:
    log.get().debug("attempt", trace=trace, message=message, kind=kind, number=number)


def delivered(trace: str, message: str, kind: str, attempts: int, code: str, after_s: float) -> None:
    """`after_s`: since its acceptance."""
    metrics.ATTEMPTS.labels("delivered").inc()
    if kind == "message":
        metrics.DELIVERY.observe(max(0.0, after_s))
    log.get().info("delivered", trace=trace, message=message, kind=kind, attempts=attempts, code=code,
                   after_s=round(after_s, 3))


def deferred(trace: str, message: str, kind: str, attempts: int, code: str, next_s: float) -> None:
    metrics.ATTEMPTS.labels("deferred").inc()
    log.get().warning("deferred", trace=trace, message=message, kind=kind, attempts=attempts, code=code,
                      next_s=round(next_s, 1))


def failed(trace: str, message: str, kind: str, attempts: int, code: str) -> None:
    metrics.ATTEMPTS.labels("failed").inc()
    log.get().warning("failed", trace=trace, message=message, kind=kind, attempts=attempts, code=code)


def dsn_received(trace: str, message: str, action: str, code: str) -> None:
    metrics.dsn(action)
    log.get().info("dsn-received", trace=trace, message=message, action=action, code=code)


def storage_failed(error: BaseException) -> None:
    log.get().critical("storage-failed", error=error)


def crashed(where: str, error: BaseException) -> None:
    metrics.ERRORS.labels(where).inc()
    if where == "examiner":
        metrics.EXAMINER_RESTARTS.inc()
    log.get().error("crashed", where=where, error=error)


def key_ring_failed(problem: str) -> None:
    """The ring's file is not what it was; what is in memory goes on being used. `problem` is a text of ours."""
    metrics.ERRORS.labels("key-ring").inc()
    log.get().error("key-ring-failed", problem=problem)


def http_request(method: str, route: str, status: int, after_s: float, caller: str) -> None:
    """The access log: `route` is its form, `caller` the name of an API key; no address of anybody, no path."""
    log.get().info("http", method=method, route=route, status=status, after_s=round(after_s, 4), caller=caller)


def page_login(result: str, network: str) -> None:
    """`result` is accepted, refused or throttled. Which login is not said: what strangers type is no name."""
    log.get().log(20 if result == "accepted" else 30, "page-login", result=result, network=network)


def page_sso_failed(reason: str) -> None:
    """A login by the OpenID Connect provider came to nothing; `reason` is a text of ours."""
    log.get().warning("page-sso-failed", reason=reason)


def webhook_called(call: str, webhook: int, attempt: int, status: int) -> None:
    """`status` is HTTP's, 0 where there was no answer."""
    log.get().info("webhook-called", call=call, webhook=webhook, attempt=attempt, status=status)


def reloaded(changed: Sequence[str], need_restart: Sequence[str]) -> None:
    """The configuration in force is the file's, but for the keys that only a restart changes. Names, no values."""
    metrics.RELOADS.labels("done").inc()
    log.get().info("reloaded", changed=", ".join(changed) or "nothing")
    if need_restart:
        log.get().warning("restart-needed", keys=", ".join(need_restart))


def reload_refused(problems: Sequence[str]) -> None:
    """The file has errors: what was in force stays so."""
    metrics.RELOADS.labels("refused").inc()
    for problem in problems:
        log.get().error("reload-refused", problem=problem)


def stopping(signal: str) -> None:
    log.get().info("stopping", signal=signal)


def stopped() -> None:
    log.get().info("stopped")
