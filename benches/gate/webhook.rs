//! Webhooks as Meta sends them: whole HTTP requests that are written once for each connection, made unique in place and
//! signed anew for every POST.

use std::io::Write;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The business side of every webhook, and the secret that Meta would sign with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Business {
    /// WhatsApp Business Account.
    pub(crate) waba_id: &'static str,
    /// The number's id at Meta.
    pub(crate) phone_number_id: &'static str,
    /// Of the Meta app.
    pub(crate) app_secret: &'static str,
}

/// What an item of a POST says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A person wrote a text.
    Message,
    /// A message of ours left Meta.
    Sent,
    /// It is on the person's device.
    Delivered,
    /// It was seen.
    Read,
}

/// What makes an item unlike every other one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// Number of the person; at most eight digits of it are used.
    pub(crate) person: u64,
    /// Number of the message. Statuses of one message share it.
    pub(crate) message: u64,
    /// Seconds since 1970.
    pub(crate) at: i64,
}

/// A message of about 0.75 kB in all, with a text of 200 characters.
const MESSAGE: &str = r#"{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"493012345678","phone_number_id":"@number"},"contacts":[{"profile":{"name":"Maria Beispiel"},"wa_id":"@phone","user_id":"@user"}],"messages":[{"from":"@phone","from_user_id":"@user","id":"@wamid","timestamp":"@time","text":{"body":"Good morning! I ordered two blue armchairs last week and would like to know whether they can still be delivered on Thursday afternoon, because on Friday we are away. Thank you very much for your help!"},"type":"text"}]},"field":"messages"}"#;
/// A status; `sent` and `delivered` carry `pricing`, `read` does not.
const STATUS: &str = r#"{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"493012345678","phone_number_id":"@number"},"contacts":[{"profile":{"name":"Maria Beispiel"},"wa_id":"@phone","user_id":"@user"}],"statuses":[{"id":"@wamid","status":"@word","timestamp":"@time","recipient_id":"@phone","recipient_user_id":"@user"@pricing}]},"field":"messages"}"#;
const PRICING: &str = r#","pricing":{"billable":true,"pricing_model":"PMP","type":"regular","category":"utility"}"#;

impl Kind {
    /// The entry of `changes`, with the marks of what differs from item to item left in.
    fn change(self) -> String {
        let status = |word, pricing| STATUS.replace("@word", word).replace("@pricing", pricing);
        match self {
            Self::Message => MESSAGE.to_owned(),
            Self::Sent => status("sent", PRICING),
            Self::Delivered => status("delivered", PRICING),
            Self::Read => status("read", ""),
        }
    }
}

/// A part that differs from item to item, and the bytes it takes.
#[derive(Debug, Clone, Copy)]
enum Field {
    Phone,
    User,
    Wamid,
    Time,
}

const FIELDS: [(&str, Field, usize); 4] = [
    ("@phone", Field::Phone, 13),
    ("@user", Field::User, 20),
    ("@wamid", Field::Wamid, 66),
    ("@time", Field::Time, 10),
];

/// Where a part stands.
#[derive(Debug)]
struct Slot {
    item: usize,
    field: Field,
    at: usize,
}

/// One HTTP request that is used again and again.
pub(crate) struct Webhook {
    request: Vec<u8>,
    signature_at: usize,
    body_at: usize,
    slots: Vec<Slot>,
    run: u32,
    key: Hmac<Sha256>,
}

impl Webhook {
    /// A POST of `items` items of one kind, each in a change of its own, as Meta batches them. `run` tells the messages
    /// of this run from those of every other one.
    pub(crate) fn new(business: Business, kind: Kind, items: usize, run: u32) -> anyhow::Result<Self> {
        let (body, slots) =
            write_body(business, &vec![kind; items].iter().map(|kind| kind.change()).collect::<Vec<_>>());
        let mut request = format!(
            "POST /webhook HTTP/1.1\r\nHost: localhost\r\nUser-Agent: facebookexternalua\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nX-Hub-Signature-256: sha256=",
            body.len()
        )
        .into_bytes();
        let signature_at = request.len();
        request.extend_from_slice(&[b'0'; 64]);
        request.extend_from_slice(b"\r\n\r\n");
        let body_at = request.len();
        request.extend_from_slice(&body);
        let key = Hmac::new_from_slice(business.app_secret.as_bytes())?;
        Ok(Self { request, signature_at, body_at, slots, run, key })
    }

    /// Writes the facts of each item, given by its number, and signs.
    pub(crate) fn renewed(&mut self, facts: impl Fn(usize) -> Facts) -> &[u8] {
        for slot in &self.slots {
            let Facts { person, message, at } = facts(slot.item);
            let phone = format!("49151{:08}", person % 100_000_000);
            let text = match slot.field {
                Field::Phone => phone,
                Field::User => format!("DE.{person:017}"),
                Field::Wamid => wamid(&phone, self.run, message),
                Field::Time => format!("{at:010}"),
            };
            put(&mut self.request, self.body_at + slot.at, text.as_bytes());
        }
        let body = self.request.get(self.body_at..).unwrap_or_default();
        let signature = HEXLOWER.encode(&self.key.clone().chain_update(body).finalize().into_bytes());
        put(&mut self.request, self.signature_at, signature.as_bytes());
        &self.request
    }

    /// The body as it stands.
    pub(crate) fn body(&self) -> &[u8] {
        self.request.get(self.body_at..).unwrap_or_default()
    }
}

/// The body with zeros where the facts go, and the places of these.
fn write_body(business: Business, changes: &[String]) -> (Vec<u8>, Vec<Slot>) {
    let mut body =
        format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{}","changes":["#, business.waba_id)
            .into_bytes();
    let mut slots = Vec::new();
    for (item, change) in changes.iter().enumerate() {
        if item > 0 {
            body.push(b',');
        }
        let change = change.replace("@number", business.phone_number_id);
        let mut parts = change.split('@');
        body.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            let known = FIELDS.iter().find_map(|(mark, field, length)| {
                part.strip_prefix(mark.trim_start_matches('@')).map(|rest| (*field, *length, rest))
            });
            let Some((field, length, rest)) = known else { continue };
            slots.push(Slot { item, field, at: body.len() });
            body.resize(body.len() + length, b'0');
            body.extend_from_slice(rest.as_bytes());
        }
    }
    body.extend_from_slice(b"]}]}");
    (body, slots)
}

/// A message id as Meta makes them: `wamid.` and base64 of a few fixed bytes around the phone number and a hexadecimal id.
fn wamid(phone: &str, run: u32, message: u64) -> String {
    let mut bytes = vec![0x1c, 0x18, 0x0d];
    bytes.extend_from_slice(phone.as_bytes());
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, 0x12, 0x18, 0x14]);
    // Writing into memory does not fail. 20 digits in all.
    let _written = write!(bytes, "{run:08X}{:012X}", message & 0xffff_ffff_ffff);
    bytes.push(0);
    format!("wamid.{}", BASE64.encode(&bytes))
}

/// The number of the message whose id stands first in `text`, whatever surrounds it.
pub(crate) fn message_number(text: &[u8]) -> Option<u64> {
    const ID: &[u8] = b"wamid.";
    let at = text.windows(ID.len()).position(|window| window == ID)? + ID.len();
    let id = BASE64.decode(text.get(at..at + FIELDS[2].2 - ID.len())?).ok()?;
    // In front of it: 3 bytes, 13 digits, 6 bytes and 8 digits of the run; behind it a zero.
    u64::from_str_radix(std::str::from_utf8(id.get(30..42)?).ok()?, 16).ok()
}

fn put(bytes: &mut [u8], at: usize, text: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + text.len()) {
        place.copy_from_slice(text);
    }
}
