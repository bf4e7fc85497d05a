//! A stand-in for Meta: a Cloud API good enough to develop, test, demonstrate and benchmark against. Nothing in the
//! product depends on it.
//!
//! It serves the part of the Graph API that the gateway uses, under any version `/vNN.N/…`, and posts signed webhooks to
//! a callback URL. Everything is in memory and gone when it stops; nothing it was sent is logged or has a Debug form.
//! The limits and texts it enforces are Meta's, in short form. Throughput and pair limits are enforced where the settings ask
//! for it; the 24-hour window is not: ask for that with a fault.
//!
//! # Graph side
//! Needs `Authorization: Bearer <access token>` or `?access_token=`. `P` is the phone number id, `W` the WABA id.
//!
//! | Request | What it does |
//! |---|---|
//! | `POST /P/messages`, `/P/marketing_messages` | send, mark as read, typing; accepted sends climb the status ladder |
//! | `POST /P/media`, `GET`/`DELETE /{media}`, `GET {url}` | upload, look up (URL good for 5 minutes), delete, download |
//! | `POST /{app}/uploads`, `POST`/`GET /upload:…` | resumable upload |
//! | `GET`/`POST`/`DELETE /W/message_templates`, `GET`/`POST /{template}` | templates with cursor paging |
//! | `…/compare`, `/unpause`, `/upsert_message_templates`, `/migrate_message_templates`, `/archive` | what else is done with them |
//! | `GET`/`POST /W/flows`, `/{flow}`, `/assets`, `/publish`, `/deprecate` | flows |
//! | `GET /W/phone_numbers`, `GET`/`POST /P`, `GET /W`, `GET /debug_token` | numbers, webhook override, account, token |
//! | `GET`/`POST /P/whatsapp_business_profile`, `/settings`, `/whatsapp_commerce_settings`, `/conversational_automation`, `/whatsapp_business_encryption` | profile and settings |
//! | `POST /P/register`, `/deregister`, `/request_code`, `/verify_code` | registration; the code is 123456 |
//! | `GET`/`POST`/`DELETE /P/block_users`, `/message_qrdls` | blocked people, QR codes |
//! | `POST /P/calls`, `GET /P/call_permissions` | calls, which ring nowhere |
//! | `GET /W?fields=analytics…`, `/W/template_analytics` | figures, all empty |
//! | `GET`/`POST`/`DELETE /W/subscribed_apps` | subscription and the WABA's webhook override |
//! | `GET /P/message_history` | what became of a message and of its webhooks |
//!
//! # Control side
//! JSON without authentication, because it is a test tool: do not expose it.
//!
//! | Request | What it does |
//! |---|---|
//! | `PUT /control/callback {"url"}` | sets the app's callback URL (`null` removes it) |
//! | `POST /control/verify` | runs the GET handshake: `{"verified", "status"}` |
//! | `GET`/`PUT /control/settings` | [`Settings`]; a PUT is merged into what is set |
//! | `POST /control/inbound` | [`payloads::Inbound`] and `count`, `per_post`, `media_base64`: posts inbound messages |
//! | `POST /control/webhook {"field", "value"?}` | posts any value; without one, a sample of that field |
//! | `POST /control/raw?signature=` | posts the bytes as they are, signed, or with the signature given |
//! | `PUT /control/number {"number"?, "token"?}` | what `GET /P` and `debug_token` say from now on, key by key |
//! | `POST /control/batch` | `{"updates", "duplicates", "reorder", "statuses_per_message"}`, at most 1000 updates a POST |
//! | `PUT`/`GET`/`DELETE /control/faults` | what goes wrong next, see below |
//! | `GET`/`DELETE /control/ledger` | every accepted message and every webhook; `?messages=&webhooks=&wait_ms=` waits |
//!
//! The calls that post webhooks answer after the first attempt with `{"status", "wamids", "webhooks"}`; `status` is what
//! the callback answered (the worst, when there were several), or null when there was no answer. Anything but 200 is
//! retried in the background.
//!
//! # Faults
//! `{"messages": FAULT, "times": 3}`; `times` may be left out for "until removed". Other surfaces than `messages` are
//! `media`, `download`, `templates` and `account`. A FAULT is `"reset"` (the connection is reset, nothing is processed),
//! `"lost_answer"` (processed and recorded, then the connection closes without an answer), or an object with any of
//! `code` (Meta's error with its HTTP status), `http` (that status, with Meta's body when there is also a code),
//! `retry_after` (seconds, a header), `delay_ms`, `failed_status` (accepted, then a `failed` webhook with that code), and
//! `connection` (`"reset"` or `"lost_answer"`, to combine them with a delay).

mod account;
mod admission;
mod blocks;
mod calls;
mod control;
mod control_batch;
mod control_inbound;
mod control_number;
mod desk;
mod errors;
mod faults;
mod flows;
mod graph_messages;
mod handle;
mod history;
mod interactive;
mod ladder;
mod ledger;
mod ledger_view;
mod limits;
mod line;
mod media;
mod node;
mod number_settings;
mod paging;
pub mod payloads;
mod platform;
mod qr_codes;
mod registration;
mod routes;
mod samples;
mod settings;
mod subscriptions;
mod template_acts;
mod template_fit;
mod templates;
mod uploads;
mod validation;
mod wamid;
mod webhooks;

pub use errors::title_of;
pub use handle::{Simulator, SimulatorConfig};
pub use settings::{Ladder, Proof, Retry, Settings, Step};
pub use wamid::{inbound_wamid, outbound_wamid};
pub use webhooks::{meta_json, signature_header};

#[cfg(test)]
mod tests;
