"""Alerts to owners, by mail."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

import aiosmtplib

from gateway import notices
from gateway.telling import NotTold
from storage.deliveries import Notice

TIMEOUT_S = 20.0  # Of each step; four of them end before another process takes it over.


@dataclass(frozen=True, slots=True)
class Mail:
    """
    A mail server.

    Attributes:
        sender: The From address.
        tls: starttls after a plain greeting, tls from the start, or none.
    """

    host: str
    port: int
    sender: str
    tls: Literal["starttls", "tls", "none"]
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    async def send(self, notice: Notice) -> None:
        """
        Mail the owner.

        Raises:
            NotTold: The server did not take it, or does not answer.
        """
        try:
            await aiosmtplib.send(
                self.message(notice),
                hostname=self.host,
                port=self.port,
                username=self.user,
                password=self.password,
                use_tls=self.tls == "tls",
                start_tls=self.tls == "starttls",
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = ", ".join(str(each.code) for each in error.recipients)
            raise NotTold(f"the mail server refuses the owner's address ({codes})") from None
        except aiosmtplib.SMTPResponseException as error:
            raise NotTold(f"the mail server answered {error.code}") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # Its text may name what we sent; its type says enough.
            raise NotTold(f"the mail server: {type(error).__name__}") from None

    def message(self, notice: Notice) -> EmailMessage:
        """The mail; sent twice, it has the same id, and a mailbox may show one."""
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = notice.owner_email
        message["Subject"] = notices.subject(notice)
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{notice.id}@{self.sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notices.text(notice))
        return message
