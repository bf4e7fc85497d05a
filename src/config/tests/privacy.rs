//! Rules for how long content is kept, and what people are told in the chat.

use super::*;

#[test]
fn rules_for_every_number_are_no_shorter_than_endpoints_are_tried_and_no_longer_than_content_and_all_faults_are_told() {
    let keys = ["RECEIVED", "STATUSES", "SENT", "FILES"].map(|class| format!("WAXSEAL_RETENTION__{class}"));
    let [received, statuses, sent, files] = keys.each_ref().map(String::as_str);
    let config = Config::load(None, env(&[(received, "delivered"), (sent, "1")]));
    let rules: Vec<_> = config.unwrap().retention.rules().collect();
    assert_eq!(rules, [("received", KeptFor::Delivered), ("sent", KeptFor::Days(1))]);
    let told = faults(&[(received, "3"), (statuses, "91"), (sent, "delivered"), (files, "soon")]);
    assert_eq!(told, ["retention.received", "retention.statuses", "retention.sent", "retention.files"]);
}

#[test]
fn links_in_the_chat_need_an_address_that_the_internet_reaches() {
    let of = |how: &str, url: &str| {
        faults(&[("WAXSEAL_PRIVACY__IN_CHAT_EXPORTS", how), ("WAXSEAL_PRIVACY__PUBLIC_URL", url)])
    };
    assert_eq!(of("mail", ""), ["privacy.in_chat_exports"]);
    for wrong in ["", "http://a.example.com", "https://a.example.com/?b", "https://b@a.example.com"] {
        assert_eq!(of("link", wrong), ["privacy.public_url"], "{wrong}");
    }
}

#[test]
fn who_processes_the_data_is_named_with_what_for_and_a_day() {
    let all = "Meta | WhatsApp Cloud API | 2026-11-01, Example Hosting|servers|2026-10-15";
    let config = Config::load(None, env(&[("WAXSEAL_PRIVACY__PROCESSORS", all)])).unwrap();
    let said: Vec<String> = config.privacy.processors.iter().map(|one| format!("{one:?}")).collect();
    assert!(said[0].contains("\"Meta\"") && said[1].contains("2026-10-15"), "{said:?}");
    for wrong in
        ["Meta", "Meta | x", "Meta | x | soon", "Meta | x | 2026-13-01", " | x | 2026-11-01", "a | b | 2026-11-01 | c"]
    {
        assert_eq!(faults(&[("WAXSEAL_PRIVACY__PROCESSORS", wrong)]), ["privacy.processors"], "{wrong}");
    }
}
