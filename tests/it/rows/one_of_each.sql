-- A row in every table of tenants, for the tenant 0193-…-a. The test copies them for a second tenant, and says when a table is missing here.
INSERT INTO tenant VALUES ('01930000-0000-7000-8000-00000000000a', 'a', now());
INSERT INTO tenant VALUES ('01930000-0000-7000-8000-00000000000b', 'b', now());
CREATE TEMPORARY TABLE known AS
    SELECT '01930000-0000-7000-8000-00000000000a'::uuid AS a, gen_random_uuid() AS id, current_date AS today, now() AS at,
           '\x5701'::bytea || decode(repeat('00', 90), 'hex') AS content, decode(repeat('00', 16), 'hex') AS hash,
           decode(repeat('00', 8), 'hex') AS short, decode(repeat('00', 32), 'hex') AS long, decode(repeat('00', 60), 'hex') AS wrapped;
INSERT INTO meta_app SELECT a, id, 'x', content, NULL, content, at, at FROM known;
INSERT INTO channel SELECT a, id, '1', '1', 'x', content, at, at FROM known;
INSERT INTO endpoint (tenant_id, endpoint_id, name, url, url_host, format, event_types, channel_ids, fields, pseudonymous, ordering,
                      signing_secret, state, created_at, updated_at)
    SELECT a, id, 'x', content, 'x', 'standard', '{}', '{}', 'full', false, 'none', content, 'active', at, at FROM known;
INSERT INTO api_key (tenant_id, key_id, lookup, name, hash, scopes, field_class, unmasked, channel_ids, cidrs, created_at, expires_at)
    SELECT a, id, 'abcdefghijkl', 'x', long, '{}', 'public', false, '{}', '{}', at, at FROM known;
INSERT INTO key_read SELECT a, id, hash, at FROM known;
INSERT INTO contact SELECT a, id, content, short, NULL, at, at FROM known;
INSERT INTO contact_identifier SELECT a, 1, hash, id FROM known;
INSERT INTO index_version SELECT a, 2, 1, hash, 0, 0, at, NULL FROM known;
INSERT INTO service_window SELECT a, id, id, at, at, NULL FROM known;
INSERT INTO consent SELECT a, id, id, id, 'marketing', 'granted', 'api', content, at, at FROM known;
INSERT INTO poll SELECT a, 'number', 'x', at, at, 0, 0 FROM known;
INSERT INTO template SELECT a, '1', '1', 'x', 'x', 'x', 'x', 'x', content, at FROM known;
INSERT INTO channel_state SELECT a, id, content, at, at FROM known;
INSERT INTO decoy SELECT a, hash FROM known;
INSERT INTO event (tenant_id, part_day, subject, variant, event_id, type, contact_id, occurred_at, received_at)
    SELECT a, today, hash, short, id, 'message.received', id, at, at FROM known;
INSERT INTO event_payload SELECT a, today, id, content FROM known;
INSERT INTO event_ledger SELECT a, hash, short, today FROM known;
INSERT INTO lane (tenant_id, kind, owner_id, shard) SELECT a, 1, id, 0 FROM known;
INSERT INTO delivery SELECT a, id, 0, id, today FROM known;
INSERT INTO delivery_retry SELECT a, id, 0, at, id, today, '1', NULL, 1 FROM known;
INSERT INTO delivery_dead SELECT a, id, id, today, '1', NULL, 1, NULL, NULL, 'exhausted', at FROM known;
INSERT INTO attempt SELECT a, today, id, id, 1, 'timeout', NULL, 1, 1, 1, at FROM known;
INSERT INTO message SELECT a, today, id, id, id, 'api', 'text', 'queued', content, NULL, NULL, NULL, at, NULL FROM known;
INSERT INTO outbox (tenant_id, channel_id, message_id, part_day, next_at, contact_id) SELECT a, id, id, today, at, id FROM known;
INSERT INTO on_the_wire SELECT a, id, 1, 1, ARRAY[id] FROM known;
INSERT INTO channel_pace SELECT a, id, at FROM known;
INSERT INTO pair_pace SELECT a, id, id, at FROM known;
INSERT INTO media_fetch (tenant_id, media_id, part_day, channel_id, next_at) SELECT a, id, today, id, at FROM known;
INSERT INTO media SELECT a, id, id, id, 'lost', 'gone', NULL, NULL, at FROM known;
INSERT INTO in_chat SELECT a, id, id, id, 'erasure', 'de', 'asked', NULL, at, at, at FROM known;
INSERT INTO passing SELECT a, id, today, id, today FROM known;
INSERT INTO media_at_meta SELECT a, id, id, content, at FROM known;
INSERT INTO idempotency SELECT a, hash, hash, id, at FROM known;
INSERT INTO replay (tenant_id, replay_id, endpoint_id, state, event_ids, event_types, channel_ids, end_xid, created_at, ended_at)
    SELECT a, id, id, 'done', ARRAY[id], '{}', '{}', '1', at, at FROM known;
INSERT INTO audit_entry SELECT a, today, id, id, 'x', decode(repeat('00', 134), 'hex'), long FROM known;
INSERT INTO audit_subject SELECT a, today, id, id FROM known;
INSERT INTO audit_log (tenant_id, origin, verifier_key, signing_key, created_at) SELECT a, 'x', 'x', content, at FROM known;
INSERT INTO audit_leaf SELECT a, 0, id FROM known;
INSERT INTO audit_tile SELECT a, 0, 0, long FROM known;
INSERT INTO audit_bundle SELECT a, 0, long FROM known;
INSERT INTO audit_checkpoint SELECT a, 1, 'x', true, at FROM known;
INSERT INTO erasure (tenant_id, erasure_id, state, contact_ids, commitment, asked_by, basis, actor_id, step_now, created_at)
    SELECT a, id, 'received', ARRAY[id], long, 'phone', 'request', id, true, at FROM known;
INSERT INTO erasure_count SELECT a, id, 'event', 1 FROM known;
INSERT INTO erasure_receipt SELECT a, id, id, 'pending', NULL FROM known;
INSERT INTO erased_contact SELECT a, id, at FROM known;
INSERT INTO consent_proof SELECT a, hash, id, 'marketing', 'granted', 'api', at, today FROM known;
INSERT INTO privacy_request (tenant_id, request_id, kind, law, state, actor_id, received_at, due_at)
    SELECT a, id, 'access', 'gdpr', 'open', id, at, at FROM known;
INSERT INTO privacy_request_deed SELECT a, id, 'export', id, at FROM known;
INSERT INTO hold (tenant_id, hold_id, contact_id, state, reason, owner_id, created_at, expires_at)
    SELECT a, id, id, 'requested', content, id, at, at FROM known;
INSERT INTO notice SELECT a, id, '1', 'sent', id, at, 0, NULL FROM known;
INSERT INTO restriction SELECT a, id, content, id, at FROM known;
INSERT INTO export (tenant_id, export_id, contact_id, contact_ids, state, sealed_for, recipient, actor_id, created_at)
    SELECT a, id, id, ARRAY[id], 'requested', 'recipient', content, id, at FROM known;
INSERT INTO row_mark SELECT a, 'event', today, content FROM known;
INSERT INTO row_removal SELECT a, 'event', today, id, content FROM known;
INSERT INTO waxseal_keys.tenant_kek SELECT a, id, 1, wrapped, true, at FROM known;
INSERT INTO waxseal_keys.bucket_key SELECT a, 1, id, id, wrapped FROM known;
INSERT INTO waxseal_keys.index_key SELECT a, 'x', 1, id, wrapped FROM known;
INSERT INTO waxseal_keys.dek SELECT a, 0, id, '1970-01-01', id, 1, id, wrapped FROM known;
INSERT INTO waxseal_keys.forgotten_key SELECT a, id, id, decode(repeat('00', 32), 'hex'), at FROM known;
INSERT INTO waxseal_keys.forgotten_subject SELECT a, id, 1, at, false, NULL FROM known;
INSERT INTO waxseal_keys.touched_bucket SELECT a, 1, 1, at FROM known;
INSERT INTO waxseal_keys.touched_tenant SELECT a, 1, at FROM known;
INSERT INTO waxseal_keys.rotation SELECT a, 1, 1, at FROM known;
INSERT INTO waxseal_keys.data_rotation SELECT a, 'rests', 1, id, id, 1, id, id, 1, 1, 1, at, at FROM known;
