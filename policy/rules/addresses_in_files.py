"""A file whose text shows a real address would hand over what the message itself keeps back."""

from aliasing.leaks import names_secret
from policy.case import Case
from policy.rules.attachments import attachments, display_name
from policy.status import Status
from policy.verdict import PASS, Verdict, refuse


def check(case: Case) -> Verdict:
    """Refuse a file that names a real address of either party, unless the operator only wants it noted."""
    message = case.message
    assert message is not None, "structure comes first in the chain"
    if case.settings.addresses_in_files == "note":
        return PASS
    secrets = [secret for secret, _ in case.facts.correspondence.secrets()]
    for part in attachments(message):
        found = case.files.get(part.path)
        if found is not None and found.text and names_secret(found.text, secrets):
            return refuse(Status.ADDRESS_IN_FILE, "a real address in its text", order=case.facts.order,
                          file=display_name(part))
    return PASS
