"""The message types that are known, to tell a slip in a webhook's `message_types`; any other may be a newer one."""

from difflib import get_close_matches

RESEMBLANCE = 0.8
"""difflib's ratio below which a name is another one, and not a slip."""

_EVOLUTION = """
albumMessage associatedChildMessage audioMessage bcallMessage botInvokeMessage buttonsMessage buttonsResponseMessage
call callLogMesssage cancelPaymentRequestMessage chat commentMessage contactMessage contactsArrayMessage conversation
declinePaymentRequestMessage deviceSentMessage documentMessage documentWithCaptionMessage editedMessage
encCommentMessage encEventResponseMessage encReactionMessage ephemeralMessage eventCoverImage eventMessage
extendedTextMessage groupInviteMessage groupMentionedMessage groupStatusMentionMessage highlyStructuredMessage
imageMessage interactiveMessage interactiveResponseMessage invoiceMessage keepInChatMessage listMessage
listResponseMessage liveLocationMessage locationMessage lottieStickerMessage messageContextInfo messageHistoryBundle
newsletterAdminInviteMessage orderMessage paymentInviteMessage pinInChatMessage placeholderMessage
pollCreationMessage pollCreationMessageV2 pollCreationMessageV3 pollCreationMessageV4 pollResultSnapshotMessage
pollUpdateMessage productMessage protocolMessage ptvMessage reactionMessage requestPaymentMessage
requestPhoneNumberMessage scheduledCallCreationMessage scheduledCallEditMessage secretEncryptedMessage
sendPaymentMessage senderKeyDistributionMessage statusMentionMessage stickerMessage stickerPackMessage
stickerSyncRmrMessage templateButtonReplyMessage templateMessage unknown videoMessage viewOnceMessage
viewOnceMessageV2 viewOnceMessageV2Extension
"""
"""`data.messageType` of Evolution API 2.4: the fields of WhatsApp's `Message`, as Baileys 6 has them (one is spelled
with three s there), and Evolution's own `unknown`."""

_EVOLUTION_GO = "media reaction poll text"
"""`data.Info.Type` of Evolution Go 0.7."""

TYPES = frozenset((_EVOLUTION + _EVOLUTION_GO).split())


def nearest_type(name: str) -> str | None:
    """The known type that was probably meant; None for a known one, and for one that resembles none."""
    if name in TYPES:
        return None
    close = get_close_matches(name, sorted(TYPES), n=1, cutoff=RESEMBLANCE)
    return next(iter(close or (known for known in (f"{name.lower()}Message",) if known in TYPES)), None)
