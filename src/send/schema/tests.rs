//! Each type at the edges of its limits.

use serde_json::{Value, json};

fn faults(message: &Value) -> Vec<(String, String)> {
    let kind = message["type"].as_str().unwrap_or("text");
    super::faults(message, kind).into_iter().map(|fault| (fault.pointer, fault.detail.into_owned())).collect()
}

fn pointers(message: &Value) -> Vec<String> {
    faults(message).into_iter().map(|(pointer, _)| pointer).collect()
}

fn of(kind: &str, content: Value) -> Value {
    let mut message = json!({ "type": kind });
    message[kind] = content;
    message
}

fn interactive(kind: &str, action: Value) -> Value {
    let mut content = json!({ "type": kind, "body": { "text": "b" } });
    content["action"] = action;
    of("interactive", content)
}

fn is_right(message: &Value) {
    assert_eq!(faults(message), [], "{message}");
}

fn is_wrong(message: &Value, at: &[&str]) {
    assert_eq!(pointers(message), at, "{message}");
}

fn button(id: &str, title: &str) -> Value {
    json!({ "type": "reply", "reply": { "id": id, "title": title } })
}

fn row(id: usize) -> Value {
    json!({ "id": id.to_string(), "title": "row" })
}

#[test]
fn texts_have_1_to_4096_characters() {
    is_right(&of("text", json!({ "body": "ü".repeat(4096), "preview_url": true })));
    let told = faults(&of("text", json!({ "body": "ü".repeat(4097) })));
    assert_eq!(told, [("/text/body".to_owned(), "must have 1 to 4096 characters".to_owned())]);
    is_wrong(&of("text", json!({ "body": "", "preview_url": "yes" })), &["/text/body", "/text/preview_url"]);
    is_wrong(&of("text", json!({ "body": 5 })), &["/text/body"]);
    is_wrong(&of("text", json!([])), &["/text/body"]);
}

#[test]
fn media_have_exactly_one_source_and_captions_where_meta_shows_them() {
    for kind in ["image", "video", "document", "audio", "sticker"] {
        is_right(&of(kind, json!({ "id": "1" })));
        is_right(&of(kind, json!({ "link": "https://example.com/a?b#c" })));
        is_wrong(&of(kind, json!({})), &[&format!("/{kind}")]);
        is_wrong(&of(kind, json!({ "id": "1", "link": "https://example.com" })), &[&format!("/{kind}/link")]);
        for link in ["example.com/a", "ftp://example.com", "https://", "javascript:alert(1)", ""] {
            is_wrong(&of(kind, json!({ "link": link })), &[&format!("/{kind}/link")]);
        }
    }
    is_right(&of("image", json!({ "id": "1", "caption": "c".repeat(1024) })));
    is_wrong(&of("image", json!({ "id": "1", "caption": "c".repeat(1025) })), &["/image/caption"]);
    is_wrong(&of("audio", json!({ "id": "1", "caption": "c" })), &["/audio/caption"]);
}

#[test]
fn locations_are_on_this_planet() {
    is_right(&of("location", json!({ "latitude": "52.5", "longitude": -180, "name": "N" })));
    is_wrong(
        &of("location", json!({ "latitude": 90.1, "longitude": "x" })),
        &["/location/latitude", "/location/longitude"],
    );
    is_wrong(&of("location", json!({})), &["/location/latitude", "/location/longitude"]);
}

#[test]
fn contact_cards_have_a_name() {
    let card = json!({ "name": { "formatted_name": "A" }, "phones": [{ "phone": "+49", "type": "HOME" }], "urls": [] });
    is_right(&of("contacts", json!([card])));
    is_wrong(&of("contacts", json!([])), &["/contacts"]);
    is_wrong(&of("contacts", json!([card, { "name": {} }, 5])), &["/contacts/1/name/formatted_name", "/contacts/2"]);
    is_wrong(
        &of("contacts", json!([{ "name": { "formatted_name": "A" }, "phones": [{ "phone": 5 }] }])),
        &["/contacts/0/phones/0/phone"],
    );
    is_wrong(&of("contacts", json!(vec![card; 258])), &["/contacts"]);
}

#[test]
fn a_reaction_names_a_message_and_may_be_taken_back() {
    is_right(&of("reaction", json!({ "message_id": "wamid.A", "emoji": "" })));
    is_wrong(&of("reaction", json!({ "emoji": "👍" })), &["/reaction/message_id"]);
}

#[test]
fn reply_buttons_are_three_at_most_short_and_unlike() {
    is_right(&interactive("button", json!({ "buttons": [button("a", "A"), button("b", "B"), button("c", "C")] })));
    let four: Vec<Value> = (0..4).map(|id| button(&id.to_string(), "A")).collect();
    is_wrong(&interactive("button", json!({ "buttons": four })), &["/interactive/action/buttons"]);
    is_wrong(
        &interactive("button", json!({ "buttons": [button("a", "A"), button("a", &"x".repeat(21))] })),
        &["/interactive/action/buttons/1/reply/title", "/interactive/action/buttons/1/reply/id"],
    );
    is_wrong(&of("interactive", json!({ "type": "button" })), &["/interactive/body", "/interactive/action"]);
    is_wrong(&of("interactive", json!({})), &["/interactive/type"]);
}

#[test]
fn a_list_has_ten_rows_in_all_sections_together() {
    let sections = |rows: [usize; 2]| {
        let rows = [0..rows[0], rows[0]..rows[0] + rows[1]].map(|ids| ids.map(row).collect::<Vec<_>>());
        rows.map(|rows| json!({ "title": "s", "rows": rows }))
    };
    let list = |sections: Value| interactive("list", json!({ "button": "Open", "sections": sections }));
    is_right(&list(json!(sections([4, 6]))));
    is_wrong(&list(json!(sections([5, 6]))), &["/interactive/action/sections"]);
    is_wrong(&list(json!([{ "rows": [row(1), row(1)] }])), &["/interactive/action/sections/0/rows/1/id"]);
    let untitled = json!([{ "rows": [row(1)] }, { "title": "s", "rows": [row(2)] }]);
    is_wrong(&list(untitled), &["/interactive/action/sections/0/title"]);
    let mut long = list(json!(sections([1, 1])));
    long["interactive"]["body"]["text"] = json!("x".repeat(4096));
    is_right(&long);
}

#[test]
fn links_flows_and_products_say_where_they_lead() {
    is_right(&interactive("cta_url", json!({ "parameters": { "display_text": "See", "url": "https://example.com" } })));
    is_wrong(
        &interactive("cta_url", json!({ "parameters": { "display_text": "x".repeat(21) } })),
        &["/interactive/action/parameters/display_text", "/interactive/action/parameters/url"],
    );
    is_right(&interactive("flow", json!({ "parameters": { "flow_id": "1", "flow_cta": "Go", "mode": "draft" } })));
    is_wrong(&interactive("flow", json!({ "parameters": { "flow_cta": "Go" } })), &["/interactive/action/parameters"]);
    is_wrong(&interactive("flow", json!({})), &["/interactive/action/parameters"]);
    let products = |count: usize| vec![json!({ "product_retailer_id": "p" }); count];
    let list = |sections: Value| interactive("product_list", json!({ "catalog_id": "1", "sections": sections }));
    is_right(&list(json!([{ "title": "s", "product_items": products(30) }])));
    let many =
        json!([{ "title": "a", "product_items": products(15) }, { "title": "b", "product_items": products(16) }]);
    is_wrong(&list(many), &["/interactive/action/sections"]);
    let product =
        of("interactive", json!({ "type": "product", "action": { "catalog_id": "1", "product_retailer_id": "2" } }));
    is_right(&product);
}

#[test]
fn headers_footers_and_cards_keep_their_limits() {
    let mut message = interactive("button", json!({ "buttons": [button("a", "A")] }));
    message["interactive"]["header"] = json!({ "type": "image", "image": { "link": "https://example.com/a.png" } });
    message["interactive"]["footer"] = json!({ "text": "f".repeat(60) });
    is_right(&message);
    message["interactive"]["header"] = json!({ "type": "text", "text": "h".repeat(61) });
    message["interactive"]["footer"] = json!({ "text": "" });
    is_wrong(&message, &["/interactive/footer/text", "/interactive/header/text"]);
    let card = |index: usize, text: &str| json!({ "card_index": index, "body": { "text": text }, "action": {} });
    is_right(&interactive("carousel", json!({ "cards": [card(0, "a"), card(1, "b")] })));
    is_wrong(&interactive("carousel", json!({ "cards": [card(0, "a")] })), &["/interactive/action/cards"]);
    is_wrong(
        &interactive("carousel", json!({ "cards": [card(10, "a"), card(1, &"x".repeat(161))] })),
        &["/interactive/action/cards/0/card_index", "/interactive/action/cards/1/body/text"],
    );
}

#[test]
fn what_fills_a_template_is_of_the_kind_it_says() {
    let template = |components: Value| {
        of("template", json!({ "name": "order_1", "language": { "code": "de" }, "components": components }))
    };
    is_right(&template(json!([
        { "type": "header", "parameters": [{ "type": "image", "image": { "id": "1" } }] },
        { "type": "BODY", "parameters": [{ "type": "text", "parameter_name": "a", "text": "x" },
            { "type": "currency", "currency": { "fallback_value": "1 €", "code": "EUR", "amount_1000": 1000 } }] },
        { "type": "button", "sub_type": "url", "index": "0", "parameters": [{ "type": "text", "text": "x" }] },
        { "type": "something_new", "parameters": [{ "type": "something_new" }] },
    ])));
    is_wrong(
        &template(json!([{ "parameters": [{ "type": "text" }, { "text": "a" }] }, { "type": "button", "index": 10 }])),
        &[
            "/template/components/0/type",
            "/template/components/0/parameters/0/text",
            "/template/components/0/parameters/1/type",
            "/template/components/1/sub_type",
            "/template/components/1/index",
        ],
    );
    is_wrong(&of("template", json!({ "name": "Order 1" })), &["/template/name", "/template/language"]);
    let card = |header: Value| json!({ "card_index": 0, "components": [{ "type": "header", "parameters": [header] }] });
    is_wrong(
        &template(json!([{ "type": "carousel", "cards": [card(json!({ "type": "video", "video": {} }))] }])),
        &["/template/components/0/cards/0/components/0/parameters/0/video"],
    );
}

#[test]
fn what_all_messages_share_is_looked_at_too() {
    let mut message = of("text", json!({ "body": "a" }));
    message["context"] = json!({ "message_id": "wamid.A" });
    message["message_send_ttl_seconds"] = json!(-1);
    message["recipient_type"] = json!("group");
    is_right(&message);
    message["context"] = json!({});
    message["message_send_ttl_seconds"] = json!(29);
    message["recipient_type"] = json!("everybody");
    is_wrong(&message, &["/context/message_id", "/recipient_type", "/message_send_ttl_seconds"]);
}

#[test]
fn what_is_not_known_is_left_to_meta() {
    is_right(&of("something_new", json!({ "a": 1 })));
    is_right(&of("text", json!({ "body": "a", "new": 1 })));
    is_right(&of("interactive", json!({ "type": "something_new", "body": { "text": "b" } })));
}

#[test]
fn no_fault_repeats_what_the_message_says() {
    let secret = "canary-4915199900011";
    let message = json!({ "type": "interactive", "recipient_type": secret, "interactive": { "type": "button", "header":
        { "type": "image", "image": { "link": secret } }, "body": secret, "action": { "buttons": [secret] } } });
    let told = faults(&message);
    assert!(told.len() >= 4, "{told:?}");
    assert!(told.iter().all(|(_, detail)| !detail.contains(secret)), "{told:?}");
}
