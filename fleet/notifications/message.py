"""What a message says: the notices in it, the most urgent first, and the words for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from fleet.notifications.decide import AGAIN, ESCALATION, NS, RAISED, RETURNED, AlarmNow

SHOWN = 10
"""So many notices stand in a message; of the others their number."""
CHINA = timezone(timedelta(hours=8))
TRIAL = "trial"
"""The step of a notice that tells of no alarm: somebody tries whether messages arrive."""


class Notice(msgspec.Struct, frozen=True):
    """One thing to tell: the alarm as it stood when it was decided, and the step."""

    step: str
    alarm: AlarmNow


class Message(msgspec.Struct, frozen=True):
    """What goes to one contact at once. The same key means the same message, however often it is sent.

    ``notices`` are the first `SHOWN`, ``count`` is how many there are, ``by_priority`` how many of each priority.
    ``made_ns`` is UTC in ns.
    """

    key: str
    made_ns: int
    notices: tuple[Notice, ...]
    count: int
    by_priority: dict[int, int]


def compose(key: str, made_ns: int, notices: Sequence[Notice]) -> Message:
    """Put notices into one message: the most urgent first, then the earliest."""
    ordered = sorted(notices, key=lambda notice: (notice.alarm.priority, notice.alarm.raised_ns or 0))
    by_priority = Counter(notice.alarm.priority for notice in ordered)
    return Message(key, made_ns, tuple(ordered[:SHOWN]), len(ordered), dict(sorted(by_priority.items())))


WORDS = {
    "zh": {
        RAISED: "报警",
        ESCALATION: "升级：无人确认",
        AGAIN: "再次通知：无人确认",
        RETURNED: "已恢复正常",
        TRIAL: "测试消息，并无报警",
        "name": "烽燧",
        "priority": "{}级",
        "limit": "限值",
        "subject": "{first}等 {count} 条",
        "more": "另有 {more} 条，见控制台。合计：{parts}",
        "part": "{priority} {count} 条",
    },
    "en": {
        RAISED: "alarm",
        ESCALATION: "escalated: nobody has acknowledged",
        AGAIN: "again: nobody has acknowledged",
        RETURNED: "returned to normal",
        TRIAL: "a trial, there is no alarm",
        "name": "Fengsui",
        "priority": "priority {}",
        "limit": "limit",
        "subject": "{first} and more, {count} in all",
        "more": "and {more} more, see the console. In all: {parts}",
        "part": "{priority}: {count}",
    },
}
LEVELS_ZH = {
    "high-high": "高高",
    "high": "高",
    "low": "低",
    "low-low": "低低",
    "deviation": "偏差",
    "rate": "变化率",
    "discrete": "开关量",
    "bit": "状态位",
    "bad": "数据质量坏",
    "silent": "设备无数据",
    "total": "累计量",
    "combined": "组合",
    "output-fault": "输出无应答",
    "device-rate": "设备上报率下降",
    "site-rate": "场所上报率下降",
    "certificate": "证书即将到期",
    "destination-behind": "目的地滞后",
    "rollout-paused": "发布已自动暂停",
    "clock-unset": "时钟未对时",
    "spool-filling": "缓存将满",
    "clone": "两台机器使用同一身份",
    "unreadable": "收到无法读取的内容",
    "unnotified": "有人未能通知到",
}


def write_subject(message: Message, language: str) -> str:
    """Say in one line what a message is about."""
    words = WORDS[language]
    first = _head(message.notices[0], language)
    text = words["subject"].format(first=first, count=message.count) if message.count > 1 else first
    return f"[{words['name']}] {text}"


def write_text(message: Message, language: str) -> str:
    """Say what happened, an alarm to a paragraph, and how many more there are."""
    words = WORDS[language]
    parts = [_paragraph(notice, language) for notice in message.notices]
    if more := message.count - len(message.notices):
        counts = ", ".join(
            words["part"].format(priority=words["priority"].format(priority), count=count)
            for priority, count in message.by_priority.items()
        )
        parts.append(words["more"].format(more=more, parts=counts))
    return "\n\n".join(parts) + "\n"


def write_step(step: str, language: str) -> str:
    """A step in words."""
    return WORDS[language][step.split("-", 1)[0]]


def write_what(alarm: AlarmNow, language: str) -> str:
    """What is measured, the level, and the value beside its limit."""
    level = LEVELS_ZH.get(alarm.level, alarm.level) if language == "zh" else alarm.level
    text = f"{alarm.title} {alarm.kind or level}"
    if alarm.value is not None:
        text += f" {alarm.value:.6g} {alarm.unit}".rstrip()
    if alarm.limit is not None:
        text += f" ({WORDS[language]['limit']} {alarm.limit:.6g} {alarm.unit}".rstrip() + ")"
    return text


def write_time(time_ns: int) -> str:
    """A time of China, with its distance from UTC."""
    return datetime.fromtimestamp(time_ns // NS, UTC).astimezone(CHINA).isoformat()


def _head(notice: Notice, language: str) -> str:
    priority = WORDS[language]["priority"].format(notice.alarm.priority)
    step = write_step(notice.step, language)
    text = f"{priority} {notice.alarm.place} {write_what(notice.alarm, language)}"
    return " ".join((text if notice.step == RAISED else f"{step}: {text}").split())


def _paragraph(notice: Notice, language: str) -> str:
    alarm = notice.alarm
    raised = write_time(alarm.raised_ns) if alarm.raised_ns is not None else "-"
    return f"{_head(notice, language)}\n{raised} {alarm.gateway} {alarm.name}"
