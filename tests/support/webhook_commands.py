"""`webhook set` and `webhook import` as functions, where what a disabled webhook missed is not sent."""

from functools import partial

from worker.webhooks import commands, transfer
from worker.webhooks.changing import leave

set_webhook = partial(commands.set_webhook, enabling=leave)
carry_out = partial(transfer.carry_out, enabling=leave)
