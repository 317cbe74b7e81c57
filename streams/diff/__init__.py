"""What two runs say differently, and from which event on.

A *run* is what a board in Redis or the output files of a replay hold (`sides`). `comparison` walks two of them side by
side, in the order of the customers, with bounded memory (`spill`). Where the logs are at hand, `alignment` says which
events differ, and `lockstep` applies both logs event by event up to the first answer that differs.
"""
