"""Text messages by Amazon SNS."""

from threading import Lock
from typing import Any, Self
from uuid import UUID

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ProxyConnectionError,
)
from flask import Config

from delivery.notifications.channels import Failure, Letter, Unknown, Unreachable
from delivery.notifications.channels.handshake import failed_in_handshake

# docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors, and the errors common to all services.
PERMANENT = frozenset({
    "EndpointDisabled", "InvalidParameter", "InvalidParameterException", "InvalidParameterValue",
    "OptedOut", "ParameterValueInvalid", "ValidationError", "ValidationException",
})  # fmt: skip
SERVER_ERROR, UNAVAILABLE = 500, 503
THREADS = 8
NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError, NoCredentialsError, ProxyConnectionError)


class SnsTransport:
    """One client of SNS, for several threads.

    It gives no receipts by HTTP and takes no reference of ours, so nothing is repeated here.
    """

    name = "sns"
    hand_off_size = concurrency = THREADS

    def __init__(
        self, *, key: str, secret: str, sender: str, region: str, endpoint_url: str, timeout_seconds: float
    ) -> None:
        self._key, self._secret, self._sender = key, secret, sender
        self._region, self._endpoint_url, self._timeout_seconds = region, endpoint_url, timeout_seconds
        self._lock = Lock()
        self._client: Any = None

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(
            key=config["SMS_API_KEY"],
            secret=config["SMS_API_SECRET"],
            sender=config["SMS_FROM"],
            region=config["AWS_REGION"],
            endpoint_url=config["SNS_ENDPOINT_URL"],
            timeout_seconds=config["SMS_TIMEOUT_SECONDS"],
        )

    def open(self) -> None:
        """Make the client once a process: it costs a tenth of a second; connections are made as needed."""
        with self._lock:
            if self._client is None:
                self._client = self._made()

    def _made(self) -> Any:
        return boto3.Session().client(
            "sns",
            aws_access_key_id=self._key,
            aws_secret_access_key=self._secret,
            region_name=self._region,
            endpoint_url=self._endpoint_url or None,
            config=BotoConfig(
                connect_timeout=self._timeout_seconds,
                read_timeout=self._timeout_seconds,
                retries={"total_max_attempts": 1},  # its own retries could send twice
                max_pool_connections=THREADS,
            ),
        )

    def close(self) -> None:
        """Drop the connections; the client stays."""
        if self._client is not None:
            self._client.close()

    def send(self, message_id: UUID, letter: Letter) -> str | None:
        self.open()
        try:
            answer = self._client.publish(
                PhoneNumber=letter.address, Message=letter.text, MessageAttributes=self._attributes()
            )
        except ClientError as error:
            raise _failure(error) from error
        except NEVER_SENT as error:
            raise Unreachable("sns_unreachable", type(error).__name__) from error
        except BotoCoreError as error:
            if failed_in_handshake(error):
                raise Unreachable("sns_unreachable", type(error).__name__) from error
            raise Unknown("sns_no_answer", type(error).__name__) from error
        return str(answer["MessageId"])

    def _attributes(self) -> dict[str, dict[str, str]]:
        """What kind of message, and from whom (docs.aws.amazon.com/sns/latest/dg/sms_sms-to-phone.html)."""
        values = {"AWS.SNS.SMS.SMSType": "Transactional"}
        if self._sender:
            key = "AWS.MM.SMS.OriginationNumber" if self._sender.startswith("+") else "AWS.SNS.SMS.SenderID"
            values[key] = self._sender
        return {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}


def _failure(error: ClientError) -> Failure:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    error_class, text = f"sns_{code}"[:40], code
    if code in PERMANENT:
        return Failure(error_class, text, permanent=True)
    if status >= SERVER_ERROR and status != UNAVAILABLE:
        return Unknown(error_class, text)
    # Throttled, credentials refused, quota spent: it is not the message's fault.
    return Unreachable(error_class, text)
