// Does with a TypeScript SDK of other people, as its manual shows it, what applications do: messages, files, templates, profile, flows.
//
// usage: drive.mjs HOME_OF_SDK BASE_URL TOKEN PHONE_NUMBER_ID WABA_ID RECIPIENT
//
// Prints one JSON line: what the SDK read out of the answers.

import { createRequire } from "node:module";
import { join } from "node:path";

const [home, baseUrl, accessToken, phoneNumberId, businessAccountId, to] = process.argv.slice(2);
const { WhatsAppClient } = createRequire(join(home, "package.json"))("@kapso/whatsapp-cloud-api");

// The two things that are changed.
const client = new WhatsAppClient({ baseUrl, accessToken });
const seen = {};

const text = await client.messages.sendText({ phoneNumberId, to, body: "Guten Tag aus dem SDK" });
seen.text = text.messages[0].id;
const template = { name: "hello_world", language: { code: "en_US" } };
seen.template = (await client.messages.sendTemplate({ phoneNumberId, to, template })).messages[0].id;
try {
  await client.messages.sendText({ phoneNumberId: "999", to, body: "?" });
} catch (error) {
  seen.refusal = error.code;
}

// Files: up, looked up, down, sent, deleted.
const content = new Uint8Array(100_000).map((_, at) => at % 251);
const file = new Blob([content], { type: "application/pdf" });
const { id: mediaId } = await client.media.upload({ phoneNumberId, type: "application/pdf", file, fileName: "a.pdf" });
const found = await client.media.get({ mediaId });
const down = new Uint8Array(await client.media.download({ mediaId, auth: "always" }));
seen.file = { url: found.url, same: down.length === content.length && down.every((byte, at) => byte === content[at]) };
seen.document = (await client.messages.sendDocument({ phoneNumberId, to, document: { id: mediaId } })).messages[0].id;
seen.deleted = (await client.media.delete({ mediaId, phoneNumberId })).success;

// Templates: made, listed by cursors and by links, deleted.
const names = ["js_one", "js_two", "js_three", "js_four", "js_five"];
for (const name of names) {
  const components = [{ type: "BODY", text: "Guten Tag" }];
  await client.templates.create({ businessAccountId, name, language: "de", category: "UTILITY", components });
}
const list = (after) => client.templates.list({ businessAccountId, name: "js_", limit: 2, after });
seen.byCursor = [];
for (let page = await list(); page.data.length > 0; page = await list(page.paging.cursors.after)) {
  seen.byCursor.push(page.data.map((template) => template.name));
  if (!page.paging.next) break;
}
const first = await list();
seen.byLink = [first.data.map((template) => template.name)];
for (let next = first.paging.next; next; ) {
  const page = await (await client.fetch(next)).json();
  seen.byLink.push(page.data.map((template) => template.name));
  next = page.paging.next;
}
for (const name of names) await client.templates.delete({ businessAccountId, name });
seen.left = (await list()).data.length;

await client.phoneNumbers.businessProfile.update({ phoneNumberId, about: "Wir antworten werktags." });
const profile = await client.phoneNumbers.businessProfile.get({ phoneNumberId, fields: "about" });
seen.about = profile.data[0].about;
await client.phoneNumbers.settings.update({ phoneNumberId, userIdentityChange: { enableIdentityKeyCheck: true } });
seen.settings = Object.keys(await client.phoneNumbers.settings.get({ phoneNumberId }));

console.log(JSON.stringify(seen));
