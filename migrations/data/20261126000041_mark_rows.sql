-- What a table held when it was last looked at, so that rows which are put back or removed behind the gateway's back are found out
-- (docs/adr/0021-rows-that-nobody-puts-back.md). Written once a day, and by what removes; never by the way in.
SET LOCAL lock_timeout = '2s';

-- How many rows of a table and day there are, and what they come to under a key; sealed, so that nobody can work them out or make them up.
CREATE TABLE row_mark (
    tenant_id uuid   NOT NULL,
    counted   text   NOT NULL,                  -- a table, or 'settings'
    part_day  date   NOT NULL,                  -- 1970-01-01: not cut by day
    content   sealed NOT NULL,
    PRIMARY KEY (tenant_id, counted, part_day)
);

-- Rows that were rightly removed since: written with the removal, gone when the mark knows of them.
CREATE TABLE row_removal (
    tenant_id  uuid   NOT NULL,
    counted    text   NOT NULL,
    part_day   date   NOT NULL,
    removal_id uuid   NOT NULL,
    content    sealed NOT NULL,                 -- which
    PRIMARY KEY (tenant_id, counted, part_day, removal_id)
);
