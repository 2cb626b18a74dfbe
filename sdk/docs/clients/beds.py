"""A client of BEDS in one file, to be copied. It needs pika (pip install pika) and belongs to one thread.

    beds = Beds("amqp://localhost", client="shop")
    beds.call("cities", "count", {"country": "CH"})                     # what the operation answers
    for city in beds.fetch_all("cities", {"where": {"country": "CH"}}):  # page after page
        print(city["name"])
    beds.sign_in("ann", password)                                       # from here on for ann; refreshed by itself

On the command line: python3 beds.py amqp://localhost cities.count '{"payload": {"country": "CH"}}'
"""

import json
import sys
import time
import uuid
from datetime import datetime
from decimal import Decimal

import pika
from pika.exceptions import AMQPError, NackError, UnroutableError

try:
    from opentelemetry import propagate
except ImportError:  # Without it, pass traceparent="…" where a request belongs to a trace.
    propagate = None

MAX_SAFE = 2**53 - 1


class BedsError(Exception):
    """`code` is one of ERRORS.md; `retryable`: the same request may be sent again, after a pause, and does no harm."""

    def __init__(self, code, message, retryable=False, field=None, problems=(), status=None, hint=None):
        super().__init__(f"{code}: {message}")
        self.code, self.retryable, self.field, self.problems, self.status = code, retryable, field, problems, status
        self.message = message


class Invalid(BedsError):
    """Something in the request is wrong: see `field`."""


class Forbidden(BedsError):
    """A rule does not allow it to this caller."""


class NotFound(BedsError):
    """There is no such record."""


class Conflict(BedsError):
    """The present state forbids it: read again, then decide."""


CLASSES = {"invalid": Invalid, "forbidden": Forbidden, "not-found": NotFound, "conflict": Conflict}


def active_trace():
    """The trace of the active OpenTelemetry context, where the program has it."""
    carrier = {}
    if propagate is not None:
        propagate.inject(carrier)
    return {name: carrier[name] for name in ("traceparent", "tracestate") if carrier.get(name)}


class Beds:
    def __init__(self, url, client, exchange="beds.request", deadline_ms=10_000):
        self._url, self._client, self._exchange, self._deadline_ms = url, client, exchange, deadline_ms
        self._replies, self._repeatable = {}, set()
        self._tokens = None
        self._connection = None

    def sign_in(self, name, password):
        """Calls for this user from now on. Gives the tokens, for `resume` in another process."""
        return self.resume(self._once("sessions", "signIn", payload={"name": name, "password": password})["data"])

    def resume(self, tokens):
        self._tokens = given({"token": tokens["token"], "refresh": tokens.get("refresh")})
        return dict(self._tokens)

    def sign_out(self):
        tokens, self._tokens = self._tokens, None
        if tokens is not None:
            self._once("sessions", "signOut", payload={"token": tokens["token"]})

    def call(self, domain, op, payload=None, **terms):
        return self.request(domain, op, payload=payload, **terms)["data"]

    def create(self, domain, payload, **terms):
        return self.request(domain, "create", payload=payload, **terms)["data"]

    def update(self, domain, key, payload, **terms):
        return self.request(domain, "update", key=key, payload=payload, **terms)["data"]

    def delete(self, domain, key, **terms):
        return self.request(domain, "delete", key=key, **terms)["data"]

    def fetch_all(self, domain, query=None, **terms):
        query = dict(query or {})
        while True:
            reply = self.request(domain, "fetch", query=query, **terms)
            yield from reply["data"]
            query["cursor"] = reply.get("page", {}).get("cursor")
            if query["cursor"] is None:
                return

    def request(self, domain, op, session=None, **members):
        """The whole reply of a request that was carried out; BedsError for any other. `session`: another one than that of `sign_in`."""
        if session is not None or self._tokens is None:
            return self._once(domain, op, session=session, **members)
        try:
            return self._once(domain, op, session=self._tokens["token"], **members)
        except BedsError as error:
            # Refused for its session, it was not carried out: once more, with the next token.
            if error.code != "BEDS_REQUEST_SIGN_IN" or "refresh" not in self._tokens:
                raise
        self.resume(self._once("sessions", "refresh", payload={"refresh": self._tokens["refresh"]})["data"])
        return self._once(domain, op, session=self._tokens["token"], **members)

    def _once(
        self, domain, op, payload=None, query=None, key=None, deadline_ms=None, session=None, idempotency_key=None, traceparent=None
    ):
        deadline_ms = deadline_ms or self._deadline_ms
        meta = {"client": self._client, "session": session, "idempotencyKey": idempotency_key}
        meta.update({"traceparent": traceparent} if traceparent else active_trace())
        meta.update(deadlineMs=deadline_ms, sentAt=int(time.time() * 1000))
        envelope = {"v": 1, "id": str(uuid.uuid4()), "domain": domain, "op": op, "meta": given(meta)}
        envelope.update(given({"payload": payload, "query": query and given(query), "key": key}))
        body = json.dumps(plain(envelope), allow_nan=False)
        until = time.monotonic() + deadline_ms / 1000
        while True:
            try:
                reply = self._ask(envelope, body, until)
                break
            except (UnroutableError, NackError) as error:
                raise BedsError("CLIENT_UNROUTABLE", "RabbitMQ has no queue for this domain.") from error
            except AMQPError as error:
                was_sent, self._connection = self._connection is not None, None
                if was_sent and op != "fetch" and (domain, op) not in self._repeatable:
                    raise BedsError("CLIENT_INDETERMINATE", "The connection was lost; read before you repeat.") from error
                if time.monotonic() >= until:
                    raise BedsError("CLIENT_UNAVAILABLE", "RabbitMQ cannot be reached.", retryable=True) from error
                time.sleep(0.2)
        # What may be sent again after a lost connection the domain says itself.
        if reply["by"].get("mode") in ("read", "idempotent"):
            self._repeatable.add((domain, op))
        if not reply["ok"]:
            raise CLASSES.get(reply["error"].get("status"), BedsError)(**reply["error"])
        return reply

    def _ask(self, envelope, body, until):
        if self._connection is None:
            self._connect()
        request_id, left = envelope["id"], until - time.monotonic()
        properties = pika.BasicProperties(
            content_type="application/json",
            reply_to="amq.rabbitmq.reply-to",
            correlation_id=request_id,
            expiration=str(max(1, int(left * 1000))),
            delivery_mode=1 if envelope["op"] == "fetch" else 2,
        )
        self._replies.clear()
        routing_key = f"{envelope['domain']}.{envelope['op']}"
        self._channel.basic_publish(self._exchange, routing_key, body.encode(), properties, mandatory=True)
        # A timer of its own, always; a little later than the deadline, to hear why it was late.
        while request_id not in self._replies:
            left = until + 0.25 - time.monotonic()
            if left <= 0:
                raise BedsError("CLIENT_TIMEOUT", "No reply came; whether it was carried out is not known.")
            self._connection.process_data_events(time_limit=left)
        return self._replies.pop(request_id)

    def _connect(self):
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        self._channel = connection.channel()
        self._channel.exchange_declare(self._exchange, passive=True)
        # Direct reply-to: consumed first, without acknowledgements, on the channel that publishes.
        self._channel.basic_consume("amq.rabbitmq.reply-to", self._take, auto_ack=True)
        self._channel.confirm_delivery()
        self._connection = connection

    def _take(self, _channel, _method, properties, body):
        self._replies[properties.correlation_id] = json.loads(body)

    def close(self):
        if self._connection is not None:
            self._connection.close()


def given(members):
    return {name: value for name, value in members.items() if value is not None}


def plain(value):
    """JSON's own types: whole numbers beyond 2^53 and decimals as text, instants with their offset."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and abs(value) > MAX_SAFE):
        return str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a datetime needs an offset: datetime(…, tzinfo=timezone.utc)")
        return value.isoformat()
    return value


if __name__ == "__main__":
    url, target, members = sys.argv[1], sys.argv[2], json.loads(sys.argv[3] if len(sys.argv) > 3 else "{}")
    domain, op = target.split(".")
    print(json.dumps(Beds(url, client="beds.py").request(domain, op, **members), indent=2))
