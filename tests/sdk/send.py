"""Sends a text and a template with pywa, as its manual shows it, to whatever Graph API the first argument names.

usage: send.py BASE_URL TOKEN PHONE_NUMBER_ID RECIPIENT

Prints one JSON line: the ids that the SDK read out of the answers, or the code of the error that it raised.
"""

import json
import sys

import httpx
from pywa import WhatsApp
from pywa.errors import WhatsAppError
from pywa.types.templates import BodyText, TemplateLanguage

base_url, token, phone_id, recipient = sys.argv[1:]

session = httpx.Client(trust_env=False)
wa = WhatsApp(phone_id=phone_id, token=token, session=session)
# The one thing that is changed. The version behind it is the SDK's own.
session.base_url = str(session.base_url).replace("https://graph.facebook.com", base_url)

try:
    text = wa.send_message(to=recipient, text="Guten Tag aus dem SDK")
    template = wa.send_template(
        to=recipient,
        name="order_update",
        language=TemplateLanguage.ENGLISH_US,
        params=[BodyText.params("Ana", "14 Uhr")],
    )
    print(json.dumps({"text": text.id, "template": template.id}))
except WhatsAppError as error:
    print(json.dumps({"error": error.code}))
