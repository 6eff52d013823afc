"""REST with nothing but the standard library: a command, every page of a list, and a refusal.

After `make up`:

    TOKEN=$(.venv/bin/stepladder token bi --role directory) .venv/bin/python examples/python/rest_calls.py
"""

import json
import os
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

URL = f"http://{os.environ.get('STEPLADDER', '127.0.0.1:8080')}/v1"
HEADERS = {"authorization": f"Bearer {os.environ['TOKEN']}", "content-type": "application/json"}


def call(method: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{URL}/{path}", data, HEADERS, method=method), timeout=40) as answer:
        return json.load(answer)


# The same requestId answers the same however often it is sent: after a crash, send it again.
team = {"requestId": "make-early", "team": {"teamId": "early", "displayName": "Early shift"}}
print("created:", call("POST", "teams", team)["displayName"])

query = {"pageSize": 2}
while True:
    page = call("GET", f"teams?{urlencode(query)}")
    for one in page.get("teams", []):
        print("team:", one["teamId"])
    if not page.get("nextPageToken"):
        break
    query["pageToken"] = page["nextPageToken"]

try:
    call("GET", "teams/nobody")
except HTTPError as error:
    status = json.load(error)
    print("refused:", status["details"][0]["reason"], "-", status["message"])
