//! What this crate seals, an independent implementation of `docs/envelope.md` opens, and the other way round: so the document
//! is complete, and a record can be read without this crate for as long as somebody has its key.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::io::Write;
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use uuid::Uuid;
use waxseal::crypto::context::Context;
use waxseal::crypto::envelope::{Sealed, Suite, open, seal};
use waxseal::crypto::keyed_hash::HashKey;
use waxseal::crypto::keys::{Dek, WrappingKey, random_key};
use waxseal::crypto::random;
use waxseal::crypto::wrap::{self, WrapContext};

/// Envelopes in either direction.
const ENVELOPES: usize = 200;
/// The lengths at which the padding changes its step, and one that no step divides.
const EDGES: [usize; 12] = [0, 1, 62, 63, 64, 127, 1022, 1023, 1024, 1087, 1088, 4321];
/// Places as in the schema: `Context` takes literals alone.
const PLACES: [(&str, &str); 4] =
    [("event_payload", "payload"), ("message", "request"), ("contact", "profile"), ("meta_app", "previous_app_secret")];

/// Runs one verb of the Python side over all requests at once.
fn python(verb: &str, requests: &[Value]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_implementation.py");
    let mut child =
        Command::new("python3").args([script, verb]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(
            "python3 (3.9 or later, nothing else) is needed on PATH to check the written specification of the envelope",
        );
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = requests.iter().flat_map(|request| [request.to_string(), "\n".to_owned()]).collect();
    // Both pipes are finite: somebody must write while somebody reads.
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the Python side failed: {}", output.status);
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), requests.len());
    answers
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn bytes(answer: &Value, member: &str) -> Vec<u8> {
    let text = answer[member].as_str().unwrap_or_else(|| panic!("no {member} in {answer}"));
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// One random record: key, place, content. Content ends in padding bytes now and then, which must survive.
struct Case {
    dek: Dek,
    place: Context,
    content: Vec<u8>,
}

impl Case {
    fn random(number: usize) -> Self {
        let length = EDGES.get(number).copied().unwrap_or_else(|| {
            let [high, low] = random::bytes();
            usize::from(u16::from_be_bytes([high, low])) % if number.is_multiple_of(10) { 6000 } else { 700 }
        });
        let mut content = vec![0; length];
        random::fill(&mut content);
        if let (Some(last), 0..=1) = (content.last_mut(), number % 4) {
            *last = if number.is_multiple_of(2) { 0x80 } else { 0 };
        }
        let (table, column) = PLACES[number % PLACES.len()];
        let id = || Uuid::from_bytes(random::bytes());
        let suite = Suite::ALL[number / 2 % 2];
        Self {
            dek: Dek::generate().sealing_in(suite),
            place: Context { tenant: id(), table, column, row: id(), contact: id() },
            content,
        }
    }

    fn request(&self, more: &Value) -> Value {
        let Context { tenant, table, column, row, contact } = self.place;
        let mut request = json!({
            "dek": hex(self.dek.to_bytes().as_slice()), "dek_id": self.dek.id(),
            "suite": Suite::ALL.iter().position(|suite| *suite == self.dek.suite()).unwrap() + 1,
            "tenant": tenant, "table": table, "column": column, "row": row, "contact": contact,
        });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    }
}

fn cases() -> Vec<Case> {
    (0..ENVELOPES).map(Case::random).collect()
}

#[test]
fn python_opens_what_rust_seals() {
    let cases = cases();
    let requests: Vec<Value> = cases
        .iter()
        .map(|case| case.request(&json!({ "sealed": hex(seal(&case.dek, &case.place, &case.content).as_bytes()) })))
        .collect();
    for (case, answer) in cases.iter().zip(python("open", &requests)) {
        assert_eq!(bytes(&answer, "content"), case.content, "{} bytes", case.content.len());
    }
}

#[test]
fn rust_opens_what_python_seals_and_agrees_on_the_length() {
    let cases = cases();
    let requests: Vec<Value> = cases
        .iter()
        .map(|case| case.request(&json!({ "salt": hex(&random::bytes::<24>()), "content": hex(&case.content) })))
        .collect();
    for (case, answer) in cases.iter().zip(python("seal", &requests)) {
        let sealed = Sealed::from_stored(bytes(&answer, "sealed"));
        assert_eq!(*open(&case.dek, &case.place, &sealed).unwrap(), case.content, "{} bytes", case.content.len());
        assert_eq!(sealed.suite(), Some(case.dek.suite()));
        assert_eq!(sealed.as_bytes().len(), seal(&case.dek, &case.place, &case.content).as_bytes().len());
    }
}

#[test]
fn python_refuses_what_was_changed_or_moved() {
    let requests: Vec<Value> = cases()
        .iter()
        .take(40)
        .enumerate()
        .map(|(number, case)| {
            let mut sealed = seal(&case.dek, &case.place, &case.content).into_bytes();
            let mut elsewhere = json!({});
            match number % 3 {
                0 => elsewhere = json!({ "row": Uuid::from_bytes(random::bytes()) }),
                1 => sealed[number % 92] ^= 1,
                _ => drop(sealed.pop()),
            }
            let mut request = case.request(&json!({ "sealed": hex(&sealed) }));
            request.as_object_mut().unwrap().extend(elsewhere.as_object().unwrap().clone());
            request
        })
        .collect();
    for answer in python("open", &requests) {
        assert!(answer["error"].is_string(), "it opened");
    }
}

#[test]
fn both_agree_on_wrapped_keys_and_keyed_hashes() {
    let (by, key, id) = (random_key(), random_key(), Uuid::from_bytes(random::bytes()));
    let context = WrapContext { level: "bucket", tenant: Uuid::from_u128(1), key: id, name: &[0x0a, 0xbc] };
    let wrapped = wrap::wrap(&WrappingKey::new(&by), &context, &key);
    let request = json!({
        "key": hex(by.as_slice()), "level": "bucket", "tenant": Uuid::from_u128(1), "id": id, "name": "0abc", "wrapped": hex(&wrapped),
    });
    let mut other_level = request.clone();
    other_level["level"] = json!("tenant");
    let mut other_name = other_level.clone();
    (other_name["level"], other_name["name"]) = (json!("bucket"), json!("0abd"));
    let answers = python("unwrap", &[request, other_level, other_name]);
    assert_eq!(bytes(&answers[0], "content"), key.as_slice());
    assert!(answers[1..].iter().all(|answer| answer["error"].is_string()));

    let parts: [&[u8]; 3] = [b"message", b"106540352242922", b"wamid.HBgL"];
    let request = json!({ "key": hex(key.as_slice()), "parts": parts.map(hex), "length": 16 });
    let answer = python("hash", &[request]).remove(0);
    assert_eq!(bytes(&answer, "hash"), HashKey::new(&key).hash::<16>(&parts));
}
