"""The statements of a cluster in PostgreSQL.

A row's existence decides, never a cursor: ids have gaps, are committed late, and go back after a failover. Leases are
compared with `clock_timestamp()`, in a statement that has changed or locked the row first, since `now()` is the time at
which the transaction began to wait.

What is often run passes over no dead rows: they stay in the indexes until a vacuum comes by, and as long as anybody
looks at an old snapshot.
"""

from __future__ import annotations

from trisig._model.invocation import UNRANKED

CHANNEL = "trisig"
LOCKS = 0x74726967  # the first key of session locks; the second one is made of a node's name

JOIN_OVER = "DELETE FROM trisig.node WHERE name = $1 AND lease < clock_timestamp()"

JOIN = """
INSERT INTO trisig.node (incarnation, name, lease, watched)
VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second', $4) ON CONFLICT (name) DO NOTHING RETURNING 1
"""

LEASE_LEFT = "SELECT extract(epoch FROM lease - clock_timestamp()) FROM trisig.node WHERE name = $1"

SHORTEN_NAME = """
UPDATE trisig.node SET lease = least(lease, clock_timestamp() + $2 * interval '1 second') WHERE name = $1
"""

RENEW = """
WITH mine AS MATERIALIZED (SELECT incarnation FROM trisig.node WHERE incarnation = $1 FOR NO KEY UPDATE)
UPDATE trisig.node SET lease = clock_timestamp() + $2 * interval '1 second', watched = $3
FROM mine WHERE node.incarnation = mine.incarnation RETURNING 1
"""

# Not within a lease from the start of the server: nobody could renew one while it was down.
SWEEP = """
WITH dead AS (
    DELETE FROM trisig.node
    WHERE lease < clock_timestamp() AND incarnation <> $1
      AND pg_postmaster_start_time() < clock_timestamp() - $2 * interval '1 second'
    RETURNING 1)
SELECT pg_notify('trisig', 'nodes') FROM dead LIMIT 1
"""

# What statements that make rows free say of them, so that nodes look from there on: see `floors.py`.
_SAY = "pg_notify('trisig', 'signals * ' || min(id))"

# A statement after that: it sees what a node has claimed until it was declared down. What a node claims later, because
# it has not noticed, is found by the next one. It looks between the nodes that are up, and not at what they have
# settled. Behind the last one there is no bound: which text comes after all hexadecimal numbers depends on the language
# of the database, and in a Danish one `aa` comes after `z`.
FREE = f"""
WITH gaps AS MATERIALIZED (
    SELECT low, lead(low) OVER (ORDER BY low) AS high
    FROM (SELECT '' AS low UNION ALL SELECT incarnation FROM trisig.node) AS up),
lost AS MATERIALIZED (
    SELECT id, was FROM gaps, LATERAL (
        SELECT id, owner AS was FROM trisig.signal WHERE owner > low AND owner < high OFFSET 0) AS between_two
    UNION ALL
    SELECT id, owner FROM trisig.signal WHERE owner > (SELECT max(low) FROM gaps)),
freed AS (
    UPDATE trisig.signal SET owner = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM lost)) AND coalesce(owner, '') = ANY (ARRAY(SELECT DISTINCT was FROM lost))
    RETURNING id)
SELECT {_SAY} FROM freed HAVING count(*) > 0
"""  # noqa: S608  constants

# What is kept so that nothing comes twice, for longer than anything can be late.
FORGET = (
    "DELETE FROM trisig.fired WHERE at < now() - interval '7 days'",
    "DELETE FROM trisig.sender WHERE at < now() - interval '7 days'",
)

NODES = """
SELECT name, incarnation, extract(epoch FROM since), lease >= clock_timestamp(),
    EXISTS (SELECT FROM trisig.leader WHERE leader.incarnation = node.incarnation)
FROM trisig.node
"""

SHORTEN = """
UPDATE trisig.node SET lease = least(lease, clock_timestamp() + $2 * interval '1 second')
WHERE incarnation = $1 AND watched
"""

LEADER = "INSERT INTO trisig.leader VALUES ('leader', '', 0) ON CONFLICT DO NOTHING"

# By the epoch, as an incarnation that is gone never comes back: of two that have seen the same one, the second fails.
# A time, so that it grows even where the row is lost, in a failover or in a backup.
LEAD = """
WITH me AS MATERIALIZED (SELECT 1 FROM trisig.node WHERE incarnation = $1 FOR KEY SHARE),
vacant AS MATERIALIZED (
    SELECT epoch FROM trisig.leader AS held WHERE name = 'leader' AND EXISTS (SELECT FROM me)
      AND (incarnation = $1 OR NOT EXISTS (SELECT FROM trisig.node WHERE incarnation = held.incarnation)))
UPDATE trisig.leader
SET incarnation = $1, epoch = greatest(leader.epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
FROM vacant WHERE name = 'leader' AND leader.epoch = vacant.epoch RETURNING leader.epoch
"""

RESIGN = """
WITH free AS (UPDATE trisig.leader SET incarnation = '' WHERE incarnation = $1 RETURNING 1)
SELECT pg_notify('trisig', 'nodes') FROM free
"""

LEAVE = f"""
WITH gone AS (DELETE FROM trisig.node WHERE incarnation = $1),
freed AS (UPDATE trisig.signal SET owner = NULL, attempts = attempts - 1 WHERE owner = $1 RETURNING id)
SELECT pg_notify('trisig', 'nodes'), (SELECT {_SAY} FROM freed HAVING count(*) > 0)
"""  # noqa: S608

_PRIORITY = f"coalesce(priority, {UNRANKED})"  # a shorter array goes on with NULL

# The batch of a sender is stored once, though its rows may be gone when it is repeated.
PUT = f"""
WITH fresh AS (
    INSERT INTO trisig.sender AS known (sender, batch) VALUES ($1, $2)
    ON CONFLICT (sender) DO UPDATE SET batch = excluded.batch, at = now() WHERE known.batch < excluded.batch
    RETURNING 1),
raised AS (
    SELECT * FROM unnest($3::text[], $4::smallint[], $5::text[], $6::bytea[], $7::int[], $8::text[], $9::timestamptz[],
                         $10::float8[])
        WITH ORDINALITY AS row (node, signum, task, arguments, priority, source, due, pause, place)
    WHERE EXISTS (SELECT FROM fresh)),
first AS (
    INSERT INTO trisig.fired (source, due)
    SELECT source, due FROM raised WHERE source IS NOT NULL ORDER BY source, due
    ON CONFLICT DO NOTHING RETURNING source, due),
passed AS (
    SELECT raised.* FROM raised LEFT JOIN first USING (source, due)
    WHERE raised.source IS NULL OR first.source IS NOT NULL),
stored AS (
    INSERT INTO trisig.signal (node, signum, source, due, task, arguments, priority, ready)
    SELECT coalesce(up.name, passed.node), signum, source, due, task, arguments, {_PRIORITY},
        clock_timestamp() + pause * interval '1 second'
    FROM passed LEFT JOIN trisig.node up ON passed.node = '*' AND up.lease >= now()
    WHERE passed.node <> '*' OR up.name IS NOT NULL ORDER BY place, up.name
    RETURNING id)
SELECT (SELECT count(*) FROM fresh), (SELECT min(id) FROM stored)
"""  # noqa: S608

ANNOUNCE = "SELECT pg_notify('trisig', word) FROM unnest($1::text[]) AS word"

# The same for a batch of signals and tasks that are due, for one node or any: this takes the server less time. A sender
# that is not known yet stores nothing.
_FRESH = """
WITH fresh AS (
    UPDATE trisig.sender SET batch = $2, at = now() WHERE sender = $1 AND batch < $2 RETURNING 1)"""
_ROWS = """fresh, unnest($3::text[], $4::smallint[], $5::text[], $6::bytea[], $7::int[])
        WITH ORDINALITY AS row (node, signum, task, arguments, priority, place)
    ORDER BY place"""
PUT_PLAIN = f"""{_FRESH},
stored AS (
    INSERT INTO trisig.signal (node, signum, task, arguments, priority)
    SELECT node, signum, task, arguments, {_PRIORITY} FROM {_ROWS} RETURNING id)
SELECT min(id) FROM stored
"""  # noqa: S608

# And claim it at once for the node that stores it. No lock on the row of that node: should it be declared down
# meanwhile, the next sweep finds what it has claimed here.
PUT_KEPT = f"""{_FRESH}
INSERT INTO trisig.signal (node, signum, task, arguments, priority, owner, attempts)
SELECT node, signum, task, arguments, {_PRIORITY}, $8, 1 FROM {_ROWS} RETURNING id
"""  # noqa: S608

# `now()` is stable, so that the index is used; each statement is a transaction.
RIPEN = f"""
WITH ripe AS (UPDATE trisig.signal SET ready = NULL WHERE ready <= now() RETURNING id)
SELECT (SELECT {_SAY} FROM ripe HAVING count(*) > 0),
    (SELECT extract(epoch FROM min(ready) - clock_timestamp()) FROM trisig.signal WHERE ready > now())
"""  # noqa: S608

# Which id was given last; none for a role that may not know.
TOP = "SELECT last_value FROM pg_sequences WHERE schemaname = 'trisig' AND sequencename = 'signal_id_seq'"

# From each place in the index on to where the next one begins, in order. What is too much is left with all that comes
# behind it, signals too: the next look goes on behind what was claimed. MATERIALIZED, for the LIMIT to hold: as a
# subquery it may be run once for each row. The lock on the row of the node has whoever declares it down wait for this.
CLAIM = """
WITH me AS MATERIALIZED (SELECT 1 FROM trisig.node WHERE incarnation = $1 FOR KEY SHARE),
found AS MATERIALIZED (
    SELECT free.*
    FROM unnest($2::text[], $7::bigint[], $8::bigint[], $9::bigint[]) AS start (node, priority, id, below), LATERAL (
        SELECT signal.id, signal.priority, coalesce(octet_length(arguments), 0) AS size FROM trisig.signal
        WHERE owner IS NULL AND ready IS NULL AND signal.node = start.node
          AND (signal.priority, signal.id) > (start.priority, start.id) AND signal.priority < start.below
          AND (signum = ANY ($3::smallint[]) OR task = ANY ($5::text[])) AND EXISTS (SELECT FROM me)
        ORDER BY signal.priority, signal.id LIMIT $4 FOR UPDATE SKIP LOCKED) AS free
    LIMIT $4),
counted AS MATERIALIZED (SELECT id, sum(size) OVER (ORDER BY priority, id) - size AS before FROM found)
UPDATE trisig.signal SET owner = $1, attempts = attempts + 1
FROM counted WHERE signal.id = counted.id AND before < $6
RETURNING signal.id, signum, attempts, source, extract(epoch FROM due), task, encode(arguments, 'hex'), priority, node
"""

KEEP_ONLY = f"""
WITH freed AS (
    UPDATE trisig.signal SET owner = NULL, attempts = attempts - 1
    WHERE owner = $1 AND id <> ALL ($2::bigint[]) AND id <= $3 RETURNING id)
SELECT {_SAY} FROM freed HAVING count(*) > 0
"""  # noqa: S608

NEWEST = "SELECT coalesce(max(id), 0) FROM trisig.signal"

# `coalesce`, so that the rows are found by their ids: by their owner, it would pass over all that it has settled.
_MINE = "coalesce(owner, '') = $1"
SETTLE = f"""
WITH done AS (DELETE FROM trisig.signal WHERE id = ANY ($2::bigint[]) AND {_MINE}),
returned AS (
    UPDATE trisig.signal SET owner = NULL, attempts = attempts - 1 WHERE id = ANY ($3::bigint[]) AND {_MINE}),
given_up AS (
    DELETE FROM trisig.signal USING unnest($4::bigint[], $5::text[]) AS letter (id, reason)
    WHERE signal.id = letter.id AND {_MINE} RETURNING signal.*, reason)
INSERT INTO trisig.dead (id, node, signum, task, arguments, attempts, reason, died_on)
SELECT id, node, signum, task, arguments, attempts, reason, $6 FROM given_up ON CONFLICT DO NOTHING
"""  # noqa: S608


def array(values: object) -> str:
    """A list as PostgreSQL reads arrays."""
    assert isinstance(values, (list, tuple))
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
