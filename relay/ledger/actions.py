"""Sealed actions as their page sees them: what was done by now, and how it is undone. (Ledger.act() does them.)"""

from __future__ import annotations

import time
from dataclasses import dataclass

from aliasing.token import Action, OpenedAction
from relay.ledger.opened import SQL, Opened, signed


@dataclass(frozen=True)
class Standing:
    """`done`: it is as the action would have it; `own`: this very action's doing, which undo() takes back."""

    done: bool
    own: bool


class Actions:
    """Raises LedgerError."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def standing(self, action: OpenedAction) -> Standing | None:
        """None for a message that is not there."""
        rows = self._opened.query("action_state", action.message, signed(action.correspondence))
        if not rows:
            return None
        row, what = rows[0], action.action
        if what is Action.REPORT:
            return Standing(bool(row["reported"]), bool(row["reported"]) and row["reporter"] == action.actor)
        if what is Action.NO_ANSWER:
            return Standing(bool(row["settled"]), bool(row["settled"]))
        own = bool(row["seller_stopped"] if what is Action.STOP_SELLER else row["all_stopped"])
        return Standing(own or bool(row["all_stopped"]), own)

    def undo(self, action: OpenedAction) -> bool:
        """Take back what the action did, if it still stands; whether there was anything to take back."""
        standing = self.standing(action)
        if standing is None or not standing.own:
            return False
        with self._opened.transaction() as connection:
            correspondence = signed(action.correspondence)
            row = connection.execute(SQL["message_of"], (action.message, correspondence)).fetchone()
            if action.action is Action.REPORT:
                changed = connection.execute(SQL["unreport"], (row["id"],)).rowcount
            elif action.action is Action.NO_ANSWER:
                changed = connection.execute(SQL["answer_needed"], {
                    "message": row["id"], "id": correspondence}).rowcount
            else:
                changed = connection.execute(SQL["resume_unsolicited"], {
                    "at": time.time(), "buyer": row["buyer_id"],
                    "seller": row["seller_id"] if action.action is Action.STOP_SELLER else None}).rowcount
                connection.execute(SQL["registry_changed"])
            if changed:
                connection.execute(SQL["insert_event"], (
                    time.time(), row["id"], None, None, "action", f"undo-{action.action}", action.actor, None))
            return bool(changed)
