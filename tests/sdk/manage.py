"""Does with pywa, as its manual shows it, what applications do beside sending: files, templates, profile, number, people, QR codes.

usage: manage.py BASE_URL TOKEN PHONE_NUMBER_ID WABA_ID RECIPIENT

Prints one JSON line: what the SDK read out of the answers.
"""

import json
import sys

import httpx
from pywa import WhatsApp
from pywa.errors import WhatsAppError
from pywa.types.others import Pagination
from pywa.types.templates import BodyText, Template, TemplateCategory, TemplateLanguage

base_url, token, phone_id, waba_id, recipient = sys.argv[1:]

session = httpx.Client(trust_env=False)
wa = WhatsApp(phone_id=phone_id, token=token, waba_id=waba_id, session=session)
# The one thing that is changed. The version behind it is the SDK's own.
session.base_url = str(session.base_url).replace("https://graph.facebook.com", base_url)
seen = {}

# Files: up, looked up, down, sent, deleted.
content = b"%PDF-1.4\n" + bytes(range(256)) * 400
file = wa.upload_media(media=content, mime_type="application/pdf", filename="a.pdf")
found = wa.get_media_url(file.id)
seen["file"] = {
    "mime_type": found.mime_type,
    "size": found.file_size,
    "url": found.url,
    "same": wa.get_media_bytes(found.url) == content,
}
seen["sent"] = wa.send_document(to=recipient, document=file.id, filename="a.pdf").id
seen["deleted"] = bool(wa.delete_media(file.id))
try:
    wa.get_media_url(file.id)
except WhatsAppError as error:
    seen["gone"] = error.code

# Templates: made, listed page by page by the cursors (the SDK's own way by links fails for them at Meta too), deleted.
names = ["sdk_one", "sdk_two", "sdk_three", "sdk_four", "sdk_five"]
for name in names:
    wa.create_template(
        Template(
            name=name,
            category=TemplateCategory.UTILITY,
            language=TemplateLanguage.GERMAN,
            components=[BodyText("Guten Tag aus dem SDK")],
        )
    )
page = wa.get_templates(name="sdk_", pagination=Pagination(limit=2))
pages = [[template.name for template in page]]
while page.has_next:
    page = wa.get_templates(name="sdk_", pagination=Pagination(limit=2, after=page.after))
    pages.append([template.name for template in page])
seen["pages"] = pages
seen["template"] = wa.get_template(template_id=page[0].id).name
for name in names:
    wa.delete_template(name)
seen["left"] = len(wa.get_templates(name="sdk_"))

# How the number presents itself.
wa.update_business_profile(about="Wir antworten werktags.")
seen["about"] = wa.get_business_profile().about
seen["number"] = wa.get_business_phone_number().display_phone_number

# People, and ways to us.
seen["blocked"] = [user.wa_id for user in wa.block_users([recipient]).added_users]
# The SDK's own reading of this list wants a member that Meta does not have.
seen["list"] = len(wa.api.get_blocked_users(phone_id)["data"])
seen["unblocked"] = [user.wa_id for user in wa.unblock_users([recipient]).removed_users]
made = [wa.create_qr_code(f"Guten Tag {number}") for number in range(5)]
page = wa.get_qr_codes(pagination=Pagination(limit=2))
pages = [[code.prefilled_message for code in page]]
while page.has_next:
    page = page.next()
    pages.append([code.prefilled_message for code in page])
seen["codes"] = pages
seen["codes_deleted"] = all(wa.delete_qr_code(code.code) for code in made)

print(json.dumps(seen))
