"""The console's vocabulary: keys of the wire format as words in the reader's language."""

from __future__ import annotations

from flask_babel import gettext, lazy_gettext, lazy_pgettext
from flask_babel.speaklater import LazyString

from wire.sample import Quality, quality_class

LEVELS = {
    "high-high": lazy_gettext("high-high"),
    "high": lazy_gettext("high"),
    "low": lazy_gettext("low"),
    "low-low": lazy_gettext("low-low"),
    "losing-data": lazy_gettext("is losing data"),
    "deviation": lazy_gettext("deviates"),
    "rate": lazy_gettext("changes fast"),
    "bad": lazy_gettext("bad quality"),
    "silent": lazy_gettext("is silent"),
    "total": lazy_gettext("total exceeded"),
    "combined": lazy_gettext("combined alarm"),
    "output-fault": lazy_gettext("output does not answer"),
    "commanded": lazy_gettext("raised by the fleet"),
    "clock-unset": lazy_gettext("has no time set"),
    "spool-filling": lazy_gettext("fills its spool"),
    "clone": lazy_gettext("speaks from two machines"),
    "claim-contested": lazy_gettext("its claim was presented by a second key"),
    "unreadable": lazy_gettext("sent what cannot be read"),
    "unnotified": lazy_gettext("somebody could not be told"),
    "device-rate": lazy_gettext("delivers too little"),
    "site-rate": lazy_gettext("delivers too little (site)"),
    "certificate": lazy_gettext("certificate near its end"),
    "destination-behind": lazy_gettext("destination is behind"),
    "rollout-paused": lazy_gettext("rollout has paused"),
    "earthquake": lazy_gettext("earthquake"),
    "chain-undone": lazy_gettext("chain not carried out by all"),
    "inspection": lazy_gettext("to be inspected"),
}
LOSSES = {
    "quota": lazy_gettext("The spool was full"),
    "memory": lazy_gettext("The disk took nothing and memory was full"),
    "encoding": lazy_gettext("A value that no record can hold"),
    "corrupt": lazy_gettext("The spool's file was damaged"),
    "forgotten": lazy_gettext("The fleet was restored to an earlier time"),
}
ROLES = {
    "administrator": lazy_gettext("Administrator"),
    "operator": lazy_gettext("Operator"),
    "technician": lazy_gettext("Technician"),
    "enterprise": lazy_gettext("Enterprise"),
    "auditor": lazy_gettext("Auditor"),
}
OUTCOMES = {
    "done": lazy_gettext("done"),
    "refused": lazy_gettext("refused"),
    "failed": lazy_gettext("failed"),
}
MESSAGES = {
    "waiting": lazy_gettext("not arrived yet"),
    "sent": lazy_gettext("arrived"),
    "given-up": lazy_gettext("given up"),
}
STEPS = {
    "raised": lazy_gettext("raised"),
    "returned": lazy_gettext("returned to normal"),
    "escalation": lazy_gettext("escalated"),
    "again": lazy_gettext("told again"),
}
SPOOL = lazy_gettext("Spool of the gateway")
GATEWAY = lazy_gettext("The gateway")
SECTORS = {
    "chemical": lazy_gettext("Hazardous chemicals"),
    "fireworks": lazy_gettext("Fireworks stores"),
    "pipeline": lazy_gettext("Oil and gas pipelines"),
    "industry": lazy_gettext("Industry and trade"),
    "fire": lazy_gettext("Fire protection"),
    "lifeline": lazy_gettext("Urban lifelines"),
    "waterlogging": lazy_gettext("Waterlogging"),
    "earthquake": lazy_gettext("Earthquake"),
    "geology": lazy_gettext("Geological hazards"),
    "weather": lazy_gettext("Weather"),
    "flood": lazy_gettext("Flood and drought"),
    "forest": lazy_gettext("Forest fire"),
}
WAITS = {
    "unassigned": lazy_gettext("nobody has said which gateway this is"),
    "in-use": lazy_gettext("a gateway of that name is in use by another key or token"),
    "lapsed": lazy_gettext("its certificate ended more than 180 days ago"),
}
"""Why a gateway waits at the door, by the names of docs/operate/identity.md."""
CLASSES = {
    "good": lazy_gettext("Good"),
    "uncertain": lazy_gettext("Uncertain"),
    "bad": lazy_gettext("Bad"),
}
REASONS: dict[int, LazyString] = {
    Quality.UNCERTAIN_RANGE: lazy_gettext("outside its range"),
    Quality.UNCERTAIN_STUCK: lazy_gettext("stuck"),
    Quality.UNCERTAIN_STEP: lazy_gettext("sudden step"),
    Quality.UNCERTAIN_STATUS: lazy_gettext("instrument status"),
    Quality.UNCERTAIN_INCONSISTENT: lazy_gettext("contradicts another tag"),
    Quality.UNCERTAIN_PARTIAL: lazy_gettext("window not full yet"),
    Quality.UNCERTAIN_INPUT: lazy_gettext("from uncertain readings"),
    Quality.BAD_TIMEOUT: lazy_gettext("no answer"),
    Quality.BAD_LINK: lazy_gettext("link down"),
    Quality.BAD_FRAME: lazy_gettext("garbled answer"),
    Quality.BAD_DEVICE: lazy_gettext("instrument refuses"),
    Quality.BAD_SENSOR: lazy_gettext("sensor fault"),
    Quality.BAD_RANGE: lazy_gettext("out of range"),
    Quality.BAD_CONFIG: lazy_gettext("configuration"),
    Quality.BAD_INPUT: lazy_gettext("too few good readings"),
}
CLOCKS = {
    "synced": lazy_gettext("synchronised"),
    "holdover": lazy_gettext("running free"),
    "told": lazy_gettext("told by the fleet"),
    "unset": lazy_gettext("not set"),
}
LANES = {
    "A": lazy_gettext("Alarms A"),
    "M": lazy_gettext("Measurements M"),
    "W": lazy_gettext("Waveforms W"),
}
OUTPUTS = {
    "on": lazy_pgettext("output", "on"),
    "off": lazy_pgettext("output", "off"),
    "test": lazy_pgettext("output", "tested"),
    "unknown": lazy_pgettext("output", "unknown"),
    "inhibited": lazy_pgettext("output", "inhibited by its key"),
    "uninhibited": lazy_pgettext("output", "key turned back"),
    "locked": lazy_pgettext("output", "locked"),
    "unlocked": lazy_pgettext("output", "unlocked"),
}
STATES = {
    "": lazy_gettext("All"),
    "alarm": lazy_gettext("In alarm"),
    "silent": lazy_gettext("Silent"),
    "online": lazy_gettext("Online"),
    "retired": lazy_gettext("Retired"),
    **CLASSES,
}
MODES = {
    "budget": lazy_gettext("the budget of its link is used up"),
    "rate": lazy_gettext("its link is too slow"),
}
DIAGNOSES = {
    "logs": lazy_gettext("Recent log"),
    "bundle": lazy_gettext("Support bundle"),
    "read": lazy_gettext("Reading of a device"),
    "capture": lazy_gettext("Recording of a line"),
}
COMMANDS = {
    "logs": lazy_gettext("Recent log"),
    "support-bundle": lazy_gettext("Support bundle"),
    "read-device": lazy_gettext("Reading of a device"),
    "capture-bus": lazy_gettext("Recording of a line"),
    "report": lazy_gettext("Report again"),
    "reconnect": lazy_gettext("Connect anew"),
    "log-level": lazy_gettext("Log more for 10 min"),
}
COMMAND_STATES = {
    "pending": lazy_pgettext("command", "pending"),
    "done": lazy_pgettext("command", "done"),
    "failed": lazy_pgettext("command", "failed"),
    "refused": lazy_pgettext("command", "refused"),
    "interrupted": lazy_pgettext("command", "interrupted"),
    "expired": lazy_pgettext("command", "expired"),
}
CHAIN_STATES = {
    **COMMAND_STATES,
    "unsent": lazy_gettext("could not be sent"),
    "silent": lazy_gettext("does not answer"),
}
VERDICTS = {
    "fires": lazy_gettext("fires it"),
    "late": lazy_gettext("was learnt of too late"),
    "rejected": lazy_gettext("was none"),
    "far": lazy_gettext("no station that counts"),
    "questionable": lazy_gettext("one station alone, of questionable quality"),
    "weak": lazy_gettext("too weak"),
    "off": lazy_gettext("the rule is off"),
}
CHAIN_KINDS = {
    "raise": lazy_gettext("raise alarm"),
    "hurry": lazy_gettext("read more often"),
}
CHANGE_KINDS = {
    "added": lazy_pgettext("configuration", "added"),
    "removed": lazy_pgettext("configuration", "removed"),
    "changed": lazy_pgettext("configuration", "changed"),
}
DRIFTS = {
    "refused": lazy_pgettext("configuration", "refused"),
    "returned": lazy_pgettext("configuration", "given up for the last good one"),
    "trying": lazy_pgettext("configuration", "on trial"),
    "late": lazy_pgettext("configuration", "not taken yet"),
    "local": lazy_pgettext("configuration", "runs its own file"),
    "changed": lazy_pgettext("configuration", "runs something else under that number"),
    "ahead": lazy_pgettext("configuration", "runs a version that the fleet does not know"),
}
TRIALS = {
    "on": lazy_pgettext("configuration", "on trial"),
    "kept": lazy_pgettext("configuration", "tried and kept"),
    "returned": lazy_pgettext("configuration", "given up for the last good one"),
}
ALARM_STATES = {
    "normal": lazy_pgettext("alarm", "Normal"),
    "unacknowledged": lazy_pgettext("alarm", "Unacknowledged"),
    "acknowledged": lazy_pgettext("alarm", "Acknowledged"),
    "returned-unacknowledged": lazy_pgettext("alarm", "Returned, unacknowledged"),
    "latched-unacknowledged": lazy_pgettext("alarm", "Latched, unacknowledged"),
    "latched-acknowledged": lazy_pgettext("alarm", "Latched, acknowledged"),
    "shelved": lazy_pgettext("alarm", "Shelved"),
    "suppressed-by-design": lazy_pgettext("alarm", "Suppressed by design"),
    "out-of-service": lazy_pgettext("alarm", "Out of service"),
}
TABS = {
    "": lazy_gettext("Alarms"),
    "shelved": lazy_pgettext("alarm", "Shelved"),
    "suppressed": lazy_pgettext("alarm", "Suppressed by design"),
    "out-of-service": lazy_pgettext("alarm", "Out of service"),
}
ACTIONS = {
    "acknowledge": lazy_pgettext("action", "Acknowledge"),
    "reset": lazy_pgettext("action", "Reset"),
    "shelve": lazy_pgettext("action", "Shelve"),
    "unshelve": lazy_pgettext("action", "End shelving"),
    "remove": lazy_pgettext("action", "Take out of service"),
    "restore": lazy_pgettext("action", "Restore to service"),
}
KINDS = {
    "raised": lazy_pgettext("change", "raised"),
    "cleared": lazy_pgettext("change", "cleared"),
    "acknowledged": lazy_pgettext("change", "acknowledged"),
    "reset": lazy_pgettext("change", "reset"),
    "shelved": lazy_pgettext("change", "shelved"),
    "unshelved": lazy_pgettext("change", "shelving ended"),
    "removed": lazy_pgettext("change", "taken out of service"),
    "restored": lazy_pgettext("change", "restored to service"),
    "suppressed": lazy_pgettext("change", "suppressed"),
    "unsuppressed": lazy_pgettext("change", "no longer suppressed"),
    "reminded": lazy_pgettext("change", "reminded"),
    "action": lazy_pgettext("change", "output switched"),
    "audit": lazy_pgettext("change", "gateway event"),
    "folded": lazy_pgettext("change", "folded"),
    "quake": lazy_pgettext("change", "earthquake"),
}
WHERE = {
    "console": lazy_gettext("console"),
    "page": lazy_gettext("on site"),
    "command-line": lazy_gettext("command line"),
}
ROLLOUT_STATES = {
    "approval": lazy_pgettext("rollout", "waits for approval"),
    "denied": lazy_pgettext("rollout", "denied"),
    "ready": lazy_pgettext("rollout", "ready to start"),
    "running": lazy_pgettext("rollout", "running"),
    "paused": lazy_pgettext("rollout", "paused"),
    "finished": lazy_pgettext("rollout", "finished"),
    "stopping": lazy_pgettext("rollout", "stopping"),
    "stopped": lazy_pgettext("rollout", "stopped"),
}
STANDINGS = {
    "": lazy_gettext("All"),
    "planned": lazy_pgettext("update", "planned"),
    "open": lazy_pgettext("update", "under way"),
    "finished": lazy_pgettext("update", "confirmed"),
    "errors": lazy_pgettext("update", "failed"),
    "cancelled": lazy_pgettext("update", "called off"),
}
UPDATE_STATES = {
    "planned": lazy_pgettext("update", "planned"),
    "waiting": lazy_pgettext("update", "waits for its offer"),
    "offered": lazy_pgettext("update", "offered, no answer yet"),
    "running": lazy_pgettext("update", "under way"),
    "finished": lazy_pgettext("update", "confirmed"),
    "failed": lazy_pgettext("update", "failed"),
    "rejected": lazy_pgettext("update", "rejected"),
    "timed-out": lazy_pgettext("update", "timed out"),
    "cancelling": lazy_pgettext("update", "being called off"),
    "cancelled": lazy_pgettext("update", "called off"),
}
UPDATE_STEPS = {
    "waiting": lazy_pgettext("update", "taken, begins later"),
    "downloading": lazy_pgettext("update", "downloading"),
    "verified": lazy_pgettext("update", "verified"),
    "installed": lazy_pgettext("update", "installed, not yet run"),
    "trying": lazy_pgettext("update", "on trial"),
    "confirmed": lazy_pgettext("update", "confirmed"),
    "failed": lazy_pgettext("update", "failed, nothing changed"),
    "rolled-back": lazy_pgettext("update", "rolled back"),
    "inconclusive": lazy_pgettext("update", "inconclusive: the fleet was out of reach"),
    "refused": lazy_pgettext("update", "refused"),
    "cancelled": lazy_pgettext("update", "called off"),
}
OBSTACLES = {
    "retired": lazy_pgettext("update", "is retired"),
    "unreported": lazy_pgettext("update", "has never reported"),
    "installs-not": lazy_pgettext("update", "its release does not install this by itself"),
    "hardware": lazy_pgettext("update", "the release is not made for its hardware"),
    "runs-it": lazy_pgettext("update", "runs this version already"),
}
RELEASE_KINDS = {
    "agent": lazy_pgettext("release", "Agent"),
    "profiles": lazy_pgettext("release", "Driver profiles"),
    "image": lazy_pgettext("release", "Disk image"),
}
QUAKE_STATES = {
    "open": lazy_pgettext("quake", "going on"),
    "closed": lazy_pgettext("quake", "over"),
    "rejected": lazy_pgettext("quake", "taken back: no earthquake"),
}
REPORT_STATES = {
    "onset": lazy_pgettext("quake", "triggered"),
    "p-wave": lazy_pgettext("quake", "P wave measured"),
    "grown": lazy_pgettext("quake", "measuring"),
    "closed": lazy_pgettext("quake", "over"),
    "rejected": lazy_pgettext("quake", "taken back"),
}
DOUBTS = {
    "single": lazy_gettext("One station only: what it measured holds around it, and nobody has confirmed it."),
    "untimed": lazy_gettext("No station knew the time: the onset is by when the report came."),
    "clock": lazy_gettext("The clock of a station is not held by a time source: its onset may be seconds off."),
    "unplaced": lazy_gettext("A station has no position: it is on no map and in no estimate."),
    "quality": lazy_gettext("A measurement is not good: clipped, spiky or incomplete."),
    "cut": lazy_gettext("A station fell silent before it was over: its figures may be too low."),
}
"""What an event rests on, by `fleet.quakes.summary.DOUBTS`."""
ROMAN = ("–", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
"""Classes of intensity, as standards write them; the first stands for none."""
PRIORITIES = {
    1: lazy_gettext("Urgent"),
    2: lazy_gettext("High"),
    3: lazy_gettext("Medium"),
    4: lazy_gettext("Low"),
}
SPANS = {
    "10m": lazy_gettext("10 min"),
    "1h": lazy_gettext("1 hour"),
    "24h": lazy_gettext("24 hours"),
    "7d": lazy_gettext("7 days"),
    "30d": lazy_gettext("30 days"),
}


WAVE_SPANS = {"1m": lazy_gettext("1 min"), **SPANS}
FORM_TITLES = {"miniseed": "miniSEED 2", "miniseed3": "miniSEED 3", "csv": "CSV"}
"""Of `fleet.waveforms.export.FORMS`."""


def find_word(words: dict[str, LazyString], key: str) -> str:
    """The word for a key; the key itself where a newer gateway uses one that we do not know."""
    return str(words[key]) if key in words else key


def name_sector(key: str) -> str:
    """A sector in words."""
    return find_word(SECTORS, key) if key else gettext("No sector")


def name_quality(quality: int) -> str:
    """A quality in words: its class, and the reason if there is one."""
    word = str(CLASSES[quality_class(quality)])
    reason = REASONS.get(quality)
    return f"{word} {reason}" if reason else word


def name_priority(priority: int) -> str:
    """A priority in words."""
    return str(PRIORITIES[priority]) if priority in PRIORITIES else str(priority)
