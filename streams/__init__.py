"""Everything that touches files, Redis, Kafka or the wall clock: doors for events, ledger, board, commands."""
