"""What `cloudevents` makes of an event, over HTTP.

Standard input: {"mode": "binary" or "structured", "attributes": {…}, "data": …}. Prints {"headers": {…}, "body": text}.
"""

import json
import sys
from datetime import datetime

from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

asked = json.load(sys.stdin)
attributes = asked["attributes"]
attributes["time"] = datetime.fromisoformat(attributes["time"].replace("Z", "+00:00"))
event = CloudEvent(attributes=attributes, data=asked["data"])
message = {"binary": to_binary_event, "structured": to_structured_event}[asked["mode"]](event)
json.dump({"headers": dict(message.headers), "body": message.body.decode()}, sys.stdout)
