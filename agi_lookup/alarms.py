"""What each alarm means and what to do: one table for the log, the documents and whoever shows alarms.

An alarm never stops a call. It is a line `{"event": "alarm", "code": ...}` in the log and a time in the metric
`agi_lookup_alarm_timestamp_seconds{code=...}`. To raise a new one, add its row: a test compares the table with the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

PROVIDER: Final = "provider_"
"""Before the word of an error that needs an operator (`domain.errors`, `alarm = True`)."""


class Alarm(NamedTuple):
    """In words. None holds a number, a secret or a name of the config."""

    meaning: str
    cause: str
    remedy: str


ALARMS: Final[Mapping[str, Alarm]] = MappingProxyType(
    {
        "answers_jumped": Alarm(
            "a provider calls far more numbers dead or unreachable than it did; it blocks nobody for a while",
            "a fault of the vendor's, a changed reply, or a list of old numbers that somebody dials",
            "compare `agi-lookup explain NUMBER` with a number that you know; tell the vendor. It is believed again after "
            "policy.governance.distrust_s, once its answers are as usual",
        ),
        "balance_low": Alarm(
            "the account holds less than the provider's low_balance",
            "credit was used up",
            "top up the account; `agi-lookup balance` shows it",
        ),
        "balance_unknown": Alarm(
            "ten questions for the account's balance in a row failed",
            "the vendor's balance page is down, or its form has changed",
            "`agi-lookup balance`; lookups go on",
        ),
        "book_unusable": Alarm(
            "the live book of rates, or the exchange rates, cannot be used; the detail says whether calls go on with those before "
            "or without routes",
            "a damaged or half-copied file under state_dir/decks, or a fx_file that does not parse",
            "`agi-lookup rates show`, then `rates activate` or `rates rollback` for one vendor: it writes the book anew",
        ),
        "budget_low": Alarm(
            "four fifths of a day's cap are spent",
            "more traffic, a lower hit rate, random dialling, or a cap that is too low",
            "`agi-lookup spend`; raise the cap and reload, or set budget.misses_per_hour",
        ),
        "budget_reached": Alarm(
            "a cap has no room for one more number: calls go on without paid lookups",
            "as for budget_low; a burst cap opens again by itself within its seconds, a day's cap at midnight UTC",
            "`agi-lookup spend`; raise the cap and reload if the traffic is wanted",
        ),
        "call_log_corrupt": Alarm(
            "the call log was damaged: it was put aside, and a new one was begun",
            "a disk fault, or a file that was copied while it was written",
            "check the disk; the old file stays beside the new one for `sqlite3 ... .recover`",
        ),
        "call_log_dropped": Alarm(
            "rows of the call log were left out",
            "a disk too slow for the traffic",
            "check the disk; calls are not slowed",
        ),
        "call_log_failing": Alarm(
            "the call log cannot be written", "a full or read-only disk, wrong rights", "make room, or mend the rights"
        ),
        "caller_over_budget": Alarm(
            "a caller has used up budget.misses_per_hour: its calls go on without paid lookups for a while",
            "random dialling, a dialler's fresh list, or a limit that is too low",
            "look at what the caller dials; stop it at the PBX, or raise the limit",
        ),
        "clock_set": Alarm(
            "the clock was set by more than an hour: budgets count on by the time that has passed",
            "a machine without NTP, a restored snapshot, a wrong zone",
            "`agi-lookup doctor`; mend the clock",
        ),
        "cluster_alone": Alarm(
            "this instance does not hear of the others; it goes on alone, with its share of budgets and vendors' limits",
            "the shared server is gone, slow, full, read-only, or refuses the credentials",
            "the detail says which; it joins the others again by itself",
        ),
        "cluster_name_taken": Alarm(
            "two instances of a cluster have one name; this one has taken another",
            "a copied config, or containers whose hosts have one name",
            "give each its own cluster.name, and restart",
        ),
        "false_blocks": Alarm(
            "a block rule would block people who answer: it is in shadow mode now and blocks nobody",
            "a provider that is wrong about some network, or a rule that is too wide",
            "`agi-lookup explain` and `replay`; to enforce it again set its mode to off, reload, set it to enforce, reload",
        ),
        "learned_not_saved": Alarm(
            "what calls taught (trunks' quality, scores of rules, who answered) cannot be written",
            "a full or read-only disk",
            "make room; a restart before that forgets what was learned since",
        ),
        "learned_unusable": Alarm(
            "learned.json or answered.msgpack could not be read, or not whole: what calls taught is learned anew",
            "a damaged file, or one of a newer version",
            "none is needed; keep the file if you go back to the newer version",
        ),
        "ledger_broken": Alarm(
            "the ledger cannot be written: nothing is paid for (or, with budget.on_disk_failure: spend, paid unbooked)",
            "a full or read-only disk, another process that holds it, a file of a newer version, a damaged file",
            "make room, or end the other process; the detail says which. It goes on by itself",
        ),
        "memory_short": Alarm(
            "the process uses nine tenths of the memory that it may have: its cache in memory shrinks, and calls go on",
            "too low a MemoryMax= of the unit (or limit of a container), too high a cache.memory_numbers, many calls that wait",
            "raise the limit, or lower cache.memory_numbers; see sizing",
        ),
        "price_absurd": Alarm(
            "a number once cost more than a whole cap: until today's price is known, the cap is taken for the price",
            "the vendor stated a wrong price once",
            "set the provider's price, and ask the vendor about the bill",
        ),
        "provider_auth": Alarm(
            "the vendor refuses the credentials: it is not asked again until its block changes",
            "a wrong or expired key, or an address that is not on the vendor's list",
            "mend the key and reload",
        ),
        "provider_no_webhook": Alarm(
            "the vendor takes numbers, and money, and its webhooks do not come",
            "public_url is wrong, or the reverse proxy or a firewall is in the way",
            "post to the address from outside (it answers 404 to strangers); see the proxy's log",
        ),
        "provider_out_of_credit": Alarm(
            "the account is empty; the vendor is tried again when its balance says so, or once a minute",
            "credit was used up",
            "top up the account",
        ),
        "provider_tls": Alarm(
            "the vendor could not prove who it is: nothing was sent to it",
            "an expired certificate, a wrong clock here, a proxy that opens TLS, a missing ca_file",
            "`openssl s_client -connect HOST:443`; check the clock; never set allow_private for a public host",
        ),
        "provider_unavailable": Alarm(
            "a source that is a file on this machine cannot be read",
            "the table of ported_numbers is missing, damaged or not readable",
            "`agi-lookup ports import` it again",
        ),
        "spending_stopped": Alarm(
            "budget.stop is set: nothing is paid for", "somebody set it", "set budget.stop to false and reload"
        ),
        "sqlite_corrupt": Alarm(
            "the cache on disk was damaged: it was put aside, and a new one was begun",
            "a disk fault, or a file that was copied while it was written",
            "check the disk; nothing else is lost",
        ),
        "sqlite_failing": Alarm(
            "the cache on disk cannot be written; calls go on with the cache in memory",
            "a full or read-only disk, wrong rights",
            "make room, or mend the rights; it goes on by itself",
        ),
        "sqlite_not_ours": Alarm(
            "cache.sqlite is another program's, or a newer version's: it is not touched, and memory serves alone",
            "a downgrade, or a wrong state_dir",
            "go back to the newer version, or move the file away and restart",
        ),
        "sqlite_other_writer": Alarm(
            "another process writes the cache: this one keeps its own in memory",
            "a second server, or a command that was started before the server",
            "end the other process; it goes on by itself",
        ),
        "valkey_failing": Alarm(
            "the shared cache is passed by; each instance goes on with its own",
            "the server is gone, slow, full, read-only, refuses the credentials, or is no Valkey",
            "the detail says which; it is used again by itself",
        ),
    }
)


def remedy(code: str) -> str:
    """What to do; empty for the code of somebody else's provider."""
    alarm = ALARMS.get(code)
    return alarm.remedy if alarm else ""
