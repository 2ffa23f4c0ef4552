"""Requests and answers as Evolution's documents have them."""

URL = "https://h.example/x"
V1 = {"enabled": True, "url": URL, "webhook_by_events": False, "webhook_base64": False, "events": ["MESSAGES_UPSERT"]}
V20 = {"enabled": True, "url": URL, "webhookByEvents": False, "webhookBase64": False, "events": ["MESSAGES_UPSERT"]}
V21 = {
    "webhook": {
        "enabled": True,
        "url": URL,
        "headers": {"Authorization": "Bearer t"},
        "byEvents": False,
        "base64": False,
        "events": [],
    }
}
V2_ANSWER = {
    "id": "default",
    "url": URL,
    "headers": {},
    "enabled": True,
    "events": ["MESSAGES_UPSERT"],
    "webhookByEvents": False,
    "webhookBase64": False,
    "createdAt": "2026-11-18T11:06:40.123Z",
    "updatedAt": "2026-11-18T11:06:40.123Z",
    "instanceId": "acme",
}
V1_ANSWER = {"enabled": True, "url": URL, "webhook_by_events": False, "events": ["MESSAGES_UPSERT"]}
