"""The tables of a cluster, by version.

Each version is a script that brings the tables from the one before to it, while nodes of the one before still run.
"""

from __future__ import annotations

VERSION = 1

# Identity columns, as INSERT on the table is enough for them; a sequence would need a grant of its own.
_SCRIPTS = {
    1: """\
CREATE SCHEMA IF NOT EXISTS trisig;
CREATE TABLE trisig.version (version int NOT NULL);
INSERT INTO trisig.version VALUES (1);
CREATE TABLE trisig.node (
    incarnation text PRIMARY KEY,
    name text NOT NULL UNIQUE,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease timestamptz NOT NULL,
    watched boolean NOT NULL DEFAULT false
);
CREATE TABLE trisig.sender (
    sender text PRIMARY KEY,
    batch bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE trisig.signal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node text NOT NULL DEFAULT '',
    signum smallint CHECK (signum BETWEEN 0 AND 255),
    task text,
    arguments bytea,
    priority int NOT NULL DEFAULT 1000000000,
    ready timestamptz,
    source text,
    due timestamptz,
    owner text,
    attempts int NOT NULL DEFAULT 0,
    CHECK ((signum IS NULL) <> (task IS NULL))
);
CREATE INDEX signal_free ON trisig.signal (node, priority, id) WHERE owner IS NULL AND ready IS NULL;
CREATE INDEX signal_later ON trisig.signal (ready) WHERE ready IS NOT NULL;
CREATE INDEX signal_owned ON trisig.signal (owner) WHERE owner IS NOT NULL;
CREATE TABLE trisig.fired (
    source text,
    due timestamptz,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, due)
);
CREATE TABLE trisig.leader (
    name text PRIMARY KEY,
    incarnation text NOT NULL,
    epoch bigint NOT NULL
);
CREATE TABLE trisig.dead (
    id bigint PRIMARY KEY,
    node text NOT NULL,
    signum smallint,
    task text,
    arguments bytea,
    attempts int NOT NULL,
    reason text NOT NULL,
    died_on text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
""",
}

# Two nodes that begin at the same time make the tables one after the other.
_ALONE = "SELECT pg_advisory_xact_lock(0x74726973, 0);\n"


def script(since: int = 0) -> str:
    """What makes the tables, or brings them from an older version to this one."""
    return "".join(_SCRIPTS[version] for version in range(since + 1, VERSION + 1))


def script_alone(since: int = 0) -> str:
    """The same, in a transaction that waits for others that do it."""
    return _ALONE + script(since)


def grants(role: str) -> str:
    """What a role needs that may be a node, but may not make tables.

    Args:
        role: its name, quoted where that is needed.
    """
    return f"""\
GRANT USAGE ON SCHEMA trisig TO {role};
GRANT SELECT ON trisig.version TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON trisig.node, trisig.sender, trisig.signal, trisig.leader, trisig.dead TO {role};
GRANT SELECT, INSERT, DELETE ON trisig.fired TO {role};
GRANT SELECT ON SEQUENCE trisig.signal_id_seq TO {role};
"""
