"""The intake: events over HTTP, for systems that cannot speak Kafka well.

`POST /events` is answered with 202 when Kafka has acknowledged every event of the request, and with an error otherwise;
all errors have one shape (`problem`). What is wrong with an event is said before anything is sent, so a refused request
has sent nothing. A client that does not know whether its request came through sends it again: the event ids are the
same, and the engine drops what it has seen.

`server` speaks HTTP, `submission` makes events of a body, `outlet` knows Kafka, `tokens` knows who may send.
"""

from __future__ import annotations

__all__: list[str] = []
