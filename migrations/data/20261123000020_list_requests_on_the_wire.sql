-- Which of the messages that an owner of a channel's lane has marked may have been seen by Meta already. The rest of what it leaves
-- behind is simply free again.
SET LOCAL lock_timeout = '2s';

-- One row for each owner, replaced whole before requests are written to their sockets. Nothing in it is worth the disk: where there is
-- no row, as after a crash of Postgres, everything that the owner marked is in doubt (docs/adr/0012-pace-in-postgres.md). Serves the
-- next owner's look at what is left behind. Hundreds of ids lie in the row itself, so that nothing else is written.
CREATE UNLOGGED TABLE on_the_wire (
    tenant_id  uuid   NOT NULL,
    channel_id uuid   NOT NULL,
    epoch      bigint NOT NULL,                  -- of the lane, while it was this owner's
    seq        bigint NOT NULL,                  -- of the list among the owner's: one that comes late replaces no later one
    messages   uuid[] NOT NULL,
    PRIMARY KEY (tenant_id, channel_id, epoch)
) WITH (fillfactor = 10, toast_tuple_target = 8160, autovacuum_vacuum_cost_delay = 0);
