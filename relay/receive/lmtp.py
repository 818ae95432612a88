"""LMTP (RFC 2033) for a mail server in front: one reply a recipient after the data."""

from __future__ import annotations

from relay.accept import Answer
from relay.receive.connection import Hangup
from relay.receive.envelope import Envelope
from relay.receive.session import ReceivingSession


class LmtpSession(ReceivingSession):
    """The commands of the LMTP listener. Only the mail servers of lmtp.peers may come."""

    commands = ReceivingSession.commands - {"HELO", "EHLO"} | {"LHLO"}
    protocol = "LMTP"
    each = True
    no_recipients = "503 5.5.1 No valid recipients"  # RFC 2033 4.2

    async def _welcome(self) -> None:
        if not self.service.is_peer(self.client):
            raise Hangup("554 5.7.1 This listener is for mail servers that it knows")
        await super()._welcome()

    @property
    def may_forward(self) -> bool:
        return True

    async def smtp_LHLO(self, argument: str) -> None:
        """RFC 2033 4.1: EHLO by another name."""
        await super().smtp_EHLO(argument)

    async def answer_data(self, mail: Envelope, answer: Answer) -> None:
        """RFC 2033 4.2: as many replies as RCPT commands were accepted, in their order, repeated ones too."""
        for found in mail.order:
            line = answer.line if isinstance(found, int) else answer.each.get(found, answer.line)
            await self.push(line)
