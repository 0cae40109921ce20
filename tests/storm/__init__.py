"""A storm of SIGKILLs over a running master, and a verdict by unique ids.

A signal is one byte, so the identity of each is made of what the storm sees from outside of the accounting:

raised    A raiser raises its own numbers in an order that is fixed by the seed, and counts in shared memory
          the raises that returned. The bytes that reach the dispatcher, filtered by raiser, must be that very
          sequence: nothing missing, nothing twice but a raise that had not returned when its raiser died.
accepted  Every byte that is put into a queue has a place in it, which it keeps for life: (queue, place) is its id.
executed  Before a byte is written to a process its id is noted beside the mark that it will have there. The
          handler looks it up and counts the execution in shared memory; counts outlive every process.

A signal whose id was never executed is lost, however the totals look: a duplicate cannot hide it.

With `--masters` it is the masters that are killed, with a journal. Places in queues begin anew with each of them, so
there a signal is known by its place in what its raiser raises (`streams`).

    python -m tests.storm --signals 20000 --kills 40 --seed 1
    python -m tests.storm --signals 30000 --masters 10 --seed 1
    python -m tests.storm --signals 20000 --kills 40 --seed 1 --control no-accounting
"""
