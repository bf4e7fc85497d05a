"""Receives deliveries with the official libraries of Standard Webhooks and CloudEvents for Python.

usage: receive.py SECRET

Reads JSON lines {"headers": {…}, "body": "…"} from standard input. For each it prints one JSON line: what the libraries read
out of it, or the name of the error that they raised. For {"sign": {"id": "…", "timestamp": 0, "body": "…"}} it prints the
headers that the library signs with.
"""

import datetime
import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from standardwebhooks.webhooks import Webhook

webhook = Webhook(sys.argv[1])


def sign(wanted):
    at = datetime.datetime.fromtimestamp(wanted["timestamp"], tz=datetime.timezone.utc)
    signature = webhook.sign(wanted["id"], at, wanted["body"])
    headers = {"webhook-id": wanted["id"], "webhook-timestamp": str(wanted["timestamp"]), "webhook-signature": signature}
    return {"headers": headers}


def receive(delivery):
    headers, body = delivery["headers"], delivery["body"]
    verified = webhook.verify(body, headers)
    if headers["content-type"] == "application/json":
        return {"type": verified["type"]}
    message = HTTPMessage(headers=headers, body=body.encode())
    event = from_structured_event(message)
    attributes = {name: str(value) for name, value in event.get_attributes().items()}
    return {"attributes": attributes, "data": event.get_data()}


for line in sys.stdin:
    asked = json.loads(line)
    try:
        print(json.dumps(sign(asked["sign"]) if "sign" in asked else receive(asked)), flush=True)
    except Exception as error:
        print(json.dumps({"error": type(error).__name__}), flush=True)
