"""Webhooks: alerts that go to other systems by HTTP, from a process of its own.

The words here: an *endpoint* is one receiver (`endpoint`), read from webhooks.toml (`endpoint_file`). The *follower*
reads the stream of alerts and puts each message into the *spool* (a SQLite file), for every endpoint that wants it, in
the same transaction in which the place in the stream moves. A *lineup* holds what waits for one endpoint and decides,
without any I/O, what may go now: messages of one alert stand in line, alerts do not wait for each other. The *courier*
posts a message to an endpoint, signed, at an address that it has looked at. The *sender* runs them.

Nothing here is on the worker's way: a receiver that is down, slow or mad costs room in the spool and no more.
"""
