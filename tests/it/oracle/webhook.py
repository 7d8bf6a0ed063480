"""Is this webhook genuine by `standardwebhooks`, and its body an event by `cloudevents`?

Standard input: {"secret": text, "headers": {name: value}, "body": text}. Prints what `cloudevents` read.
"""

import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook

asked = json.load(sys.stdin)
body = asked["body"].encode()
Webhook(asked["secret"]).verify(body, asked["headers"])
event = from_http_event(HTTPMessage(asked["headers"], body))
attributes = {name: str(value) for name, value in event.get_attributes().items()}
json.dump({"attributes": attributes, "data": event.get_data()}, sys.stdout)
