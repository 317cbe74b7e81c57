"""Everything that speaks to Redis: the ledger, the board and the server for demos.

Local words. The *board* is what other systems read, under one prefix (`risk:`, or `replay:<run>:` for a replay); the
*ledger* is what only henji reads, `henji:{<lane>}:...`, written in the same transactions. Both are described as data in
`catalogue`, from which `docs/redis-keys.md` is made; names of keys come from `keys.Keys` and from nowhere else.

Clients are synchronous and hand out bytes (`decode_responses` off). Errors of redis-py do not leave this package:
`client.henji_error` maps each to one of `engine.errors`, by what the caller has to do. Clocks and waits are arguments;
no result depends on the wall clock, only TTLs and two fields for people do.
"""
