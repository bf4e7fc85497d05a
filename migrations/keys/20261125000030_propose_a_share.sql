-- A root share that is to take the place of the present one when every living process can unwrap it (`waxseal keys rewrap`). Read each few
-- seconds with the installation, of which there is one row.
ALTER TABLE waxseal_keys.installation
    ADD COLUMN next_share bytea;                -- wrapped by another KMS; null: none
