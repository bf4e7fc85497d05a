-- Which region a tenant's data belong to, in the operator's word (region.name). A process that is told another does not start on them.
SET LOCAL lock_timeout = '2s';

ALTER TABLE tenant ADD COLUMN region text CHECK (region ~ '^[a-z0-9-]{1,63}$'); -- null: none was named
