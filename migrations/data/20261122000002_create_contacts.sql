-- A contact is a person with an id of our own. It is never keyed by phone number: a person may have none.

CREATE TABLE contact (
    tenant_id   uuid        NOT NULL REFERENCES tenant,
    contact_id  uuid        NOT NULL,
    profile     sealed      NOT NULL,           -- name and identifiers as last seen, under the contact's own key
    profile_mac bytea       NOT NULL CHECK (octet_length(profile_mac) = 8), -- keyed; tells that nothing changed without opening
    merged_into uuid,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, contact_id)
);

-- Serves reading: "everything of this person", also what is filed under contacts that were merged into theirs.
CREATE INDEX contact_by_merger ON contact (tenant_id, merged_into) WHERE merged_into IS NOT NULL;

-- Keyed hashes only. No foreign key: an identifier is claimed first, and the contact inserted by whoever won the claim.
-- kind: 1 phone (canonical form), 2 BSUID, 3 parent BSUID, 4 username.
-- Serves directory::contacts: "whose number is this?" for every batch that holds an unknown person.
CREATE TABLE contact_identifier (
    tenant_id  uuid     NOT NULL,
    kind       smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),
    hash       bytea    NOT NULL CHECK (octet_length(hash) = 16),
    contact_id uuid     NOT NULL,
    PRIMARY KEY (tenant_id, kind, hash)
);
-- Serves merging and erasure: "every identifier of this contact".
CREATE INDEX contact_identifier_by_contact ON contact_identifier (tenant_id, contact_id);

-- Contacts that nobody has a reason to look at. By a keyed hash of the contact's id: whoever reads the database does not learn
-- which to avoid. Few, and read whole with the settings.
CREATE TABLE decoy (
    tenant_id    uuid  NOT NULL REFERENCES tenant,
    contact_hash bytea NOT NULL CHECK (octet_length(contact_hash) = 16),
    PRIMARY KEY (tenant_id, contact_hash)
);
