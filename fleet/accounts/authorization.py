"""Who may do what: the one place that decides.

Each route has a permission (`ROUTES`), each role its permissions (`GRANTS`). A route that stands in no table answers
nobody. Which rows an account sees is decided by `fleet.accounts.scope`, query by query.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from fleet.accounts.models import Role


class Permission(StrEnum):
    """What a route asks for. ``open`` asks for nothing, ``self`` for any account."""

    OPEN = "open"
    SELF = "self"
    READ = "read"
    FLEET = "fleet"
    OPERATE = "operate"
    PROVISION = "provision"
    SIGN = "sign"
    CONFIGURE = "configure"
    ACCOUNTS = "accounts"
    AUDIT = "audit"


_READERS = frozenset({Permission.OPEN, Permission.SELF, Permission.READ})
_ON_SITE = frozenset({Permission.PROVISION, Permission.SIGN})
GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.OPERATOR: _READERS | _ON_SITE | {Permission.FLEET, Permission.OPERATE, Permission.CONFIGURE},
    Role.TECHNICIAN: _READERS | _ON_SITE | {Permission.FLEET},
    Role.ENTERPRISE: _READERS | {Permission.SIGN},
    Role.AUDITOR: _READERS | {Permission.FLEET, Permission.AUDIT},
}
SCOPES = tuple(Permission(name) for name in ("read", "fleet", "operate", "configure", "provision", "accounts", "audit"))
"""What an API token may be given."""

ROUTES: Mapping[str, Permission] = {
    "openapi.spec": Permission.OPEN,
    "show_health": Permission.OPEN,
    "show_metrics": Permission.FLEET,
    "console.sign_in": Permission.OPEN,
    "console.second_factor": Permission.OPEN,
    "console.go_to_provider": Permission.OPEN,
    "console.return_from_provider": Permission.OPEN,
    "console.prefer": Permission.OPEN,
    "console.static": Permission.OPEN,
    # gateways at the door: their claim or key speaks for them
    "enrol.enrol": Permission.OPEN,
    "enrol.renew": Permission.OPEN,
    "enrol.show_ca": Permission.OPEN,
    # what is signed needs no secret
    "releases.show_metadata": Permission.OPEN,
    "releases.show_target": Permission.OPEN,
    # update clients: their token speaks for them
    "ddi.poll": Permission.OPEN,
    "ddi.put_config_data": Permission.OPEN,
    "ddi.get_deployment": Permission.OPEN,
    "ddi.get_installed": Permission.OPEN,
    "ddi.post_feedback": Permission.OPEN,
    "ddi.get_cancel": Permission.OPEN,
    "ddi.post_cancel_feedback": Permission.OPEN,
    "ddi.list_artifacts": Permission.OPEN,
    "ddi.download": Permission.OPEN,
    # what a service can be asked is no secret
    "fdsnws.version": Permission.OPEN,
    "fdsnws.station_version": Permission.OPEN,
    "fdsnws.dataselect_wadl": Permission.OPEN,
    "fdsnws.station_wadl": Permission.OPEN,
    "console.sign_out": Permission.SELF,
    "console.own_account": Permission.SELF,
    "console.change_own_account": Permission.SELF,
    # what an enterprise sees of its own sites
    "console.now": Permission.READ,
    "console.sites": Permission.READ,
    "console.site": Permission.READ,
    "console.gateways": Permission.READ,
    "console.gateway": Permission.READ,
    "console.gateway_events": Permission.READ,
    "console.losses": Permission.READ,
    "console.counts": Permission.READ,
    "console.tag": Permission.READ,
    "console.history": Permission.READ,
    "console.alarms": Permission.READ,
    "console.alarm_statistics": Permission.READ,
    "console.journal_csv": Permission.READ,
    "console.events": Permission.READ,
    "console.waveforms": Permission.READ,
    "console.waveform": Permission.READ,
    "console.waveform_file": Permission.READ,
    "fdsnws.dataselect": Permission.READ,
    "fdsnws.station": Permission.READ,
    "console.quakes": Permission.READ,
    "console.quakes_events": Permission.READ,
    "console.quake": Permission.READ,
    "console.quake_events": Permission.READ,
    "console.quake_report": Permission.READ,
    "console.quake_waveforms": Permission.READ,
    "api_quakes.list_quakes": Permission.READ,
    "api_quakes.get_quake": Permission.READ,
    "api_quakes.list_streets": Permission.READ,
    "api_sites.list_sites": Permission.READ,
    "api_sites.get_site": Permission.READ,
    "api_sites.list_expected": Permission.READ,
    "api_gateways.list_gateways": Permission.READ,
    "api_gateways.get_gateway": Permission.READ,
    "api_gateways.list_tags": Permission.READ,
    "api_gateways.get_live": Permission.READ,
    "api_readings.get_series": Permission.READ,
    "api_readings.list_lost_minutes": Permission.READ,
    "api_alarms.list_alarms": Permission.READ,
    "api_alarms.list_journal": Permission.READ,
    "api_alarms.export_journal": Permission.READ,
    "api_alarms.show_statistics": Permission.READ,
    "api_ledger.list_losses": Permission.READ,
    "api_ledger.list_counts": Permission.READ,
    "api_notifications.show_feed": Permission.READ,
    "api_notifications.show_alert": Permission.READ,
    "api_updates.list_updates": Permission.READ,
    "api_updates.get_update": Permission.READ,
    "console.commissioning": Permission.READ,
    "console.commissioning_events": Permission.READ,
    "console.commissioning_photo": Permission.READ,
    "console.commissioning_report": Permission.READ,
    # what concerns the fleet as a whole
    "console.enrolments": Permission.FLEET,
    "console.quarantine": Permission.FLEET,
    "console.notifications": Permission.FLEET,
    "console.relay": Permission.FLEET,
    "console.configurations": Permission.FLEET,
    "console.configuration": Permission.FLEET,
    "console.templates": Permission.FLEET,
    "console.template": Permission.FLEET,
    "api_readings.list_quarantine": Permission.FLEET,
    "api_readings.get_octets": Permission.FLEET,
    "api_configs.get_desired": Permission.FLEET,
    "api_configs.list_versions": Permission.FLEET,
    "api_configs.get_version": Permission.FLEET,
    "api_configs.preview_desired": Permission.FLEET,
    "api_configs.list_drift": Permission.FLEET,
    "api_templates.list_templates": Permission.FLEET,
    "api_templates.get_template": Permission.FLEET,
    "api_templates.preview_template": Permission.FLEET,
    "api_commands.list_commands": Permission.FLEET,
    "api_commands.get_command": Permission.FLEET,
    "api_relay.get_status": Permission.FLEET,
    "api_notifications.list_notifications": Permission.FLEET,
    "console.rollouts": Permission.FLEET,
    "console.rollout": Permission.FLEET,
    "console.rollout_events": Permission.FLEET,
    "api_rollouts.list_rollouts": Permission.FLEET,
    "api_rollouts.get_rollout": Permission.FLEET,
    "api_rollouts.list_actions": Permission.FLEET,
    "console.chains": Permission.FLEET,
    "console.chain_firing": Permission.FLEET,
    "api_chains.list_chains": Permission.FLEET,
    "api_chains.list_firings": Permission.FLEET,
    "api_chains.get_firing": Permission.FLEET,
    # taking gateways into service
    "console.claim": Permission.PROVISION,
    "console.take_claim": Permission.PROVISION,
    "console.try_output": Permission.PROVISION,
    "console.note_seen": Permission.PROVISION,
    "console.sign_commissioning": Permission.SIGN,
    # what changes something
    "console.command": Permission.OPERATE,
    "console.operate": Permission.OPERATE,
    "api_alarms.operate": Permission.OPERATE,
    "api_commands.issue_command": Permission.OPERATE,
    "console.diagnosis": Permission.OPERATE,
    "console.ask_diagnosis": Permission.OPERATE,
    "console.diagnosis_file": Permission.OPERATE,
    "api_diagnosis.list_requests": Permission.OPERATE,
    "api_diagnosis.ask": Permission.OPERATE,
    "api_diagnosis.download": Permission.OPERATE,
    "console.change_firing": Permission.OPERATE,
    "api_chains.take_back": Permission.OPERATE,
    "api_chains.tick_inspection": Permission.OPERATE,
    "console.change_chain": Permission.CONFIGURE,
    "api_chains.switch_chain": Permission.CONFIGURE,
    "api_chains.drill_chain": Permission.CONFIGURE,
    "console.edit_configuration": Permission.CONFIGURE,
    "console.preview_configuration": Permission.CONFIGURE,
    "console.reopen_configuration": Permission.CONFIGURE,
    "console.send_configuration": Permission.CONFIGURE,
    "console.add_template": Permission.CONFIGURE,
    "console.preview_template": Permission.CONFIGURE,
    "console.apply_template": Permission.CONFIGURE,
    "api_configs.put_desired": Permission.CONFIGURE,
    "console.decide_enrolment": Permission.CONFIGURE,
    "console.withdraw_claim": Permission.CONFIGURE,
    "console.change_gateway": Permission.CONFIGURE,
    "api_gateways.retire_gateway": Permission.CONFIGURE,
    "api_gateways.replace_gateway": Permission.CONFIGURE,
    "api_gateways.move_gateway": Permission.CONFIGURE,
    "console.add_site": Permission.CONFIGURE,
    "console.change_site": Permission.CONFIGURE,
    "api_sites.add_site": Permission.CONFIGURE,
    "api_sites.change_site": Permission.CONFIGURE,
    "api_sites.set_expected": Permission.CONFIGURE,
    "api_configs.restore_desired": Permission.CONFIGURE,
    "api_templates.add_template": Permission.CONFIGURE,
    "api_templates.apply_template": Permission.CONFIGURE,
    "console.new_rollout": Permission.CONFIGURE,
    "console.preview_rollout": Permission.CONFIGURE,
    "console.create_rollout": Permission.CONFIGURE,
    "console.change_rollout": Permission.CONFIGURE,
    "console.update_gateway": Permission.CONFIGURE,
    "console.cancel_update": Permission.CONFIGURE,
    "api_rollouts.preview_rollout": Permission.CONFIGURE,
    "api_rollouts.create_rollout": Permission.CONFIGURE,
    "api_rollouts.approve_rollout": Permission.CONFIGURE,
    "api_rollouts.deny_rollout": Permission.CONFIGURE,
    "api_rollouts.start_rollout": Permission.CONFIGURE,
    "api_rollouts.pause_rollout": Permission.CONFIGURE,
    "api_rollouts.resume_rollout": Permission.CONFIGURE,
    "api_rollouts.stop_rollout": Permission.CONFIGURE,
    "api_rollouts.offer_again": Permission.CONFIGURE,
    "api_updates.update_gateway": Permission.CONFIGURE,
    "api_updates.cancel_update": Permission.CONFIGURE,
    # what is done on site without a link
    "api_kits.list_kits": Permission.PROVISION,
    "api_kits.make_kit": Permission.PROVISION,
    "api_kits.list_entries": Permission.PROVISION,
    "api_kits.take_entries": Permission.PROVISION,
    # people, and what they did
    "console.users": Permission.ACCOUNTS,
    "console.add_user": Permission.ACCOUNTS,
    "console.change_user": Permission.ACCOUNTS,
    "console.audit_log": Permission.AUDIT,
    "console.audit_csv": Permission.AUDIT,
}
"""{endpoint: what it asks for}."""


def allows(granted: frozenset[Permission], endpoint: str) -> bool:
    """Tell whether these permissions open a route. One that nobody declared stays shut."""
    return endpoint in ROUTES and ROUTES[endpoint] in granted


def grant(role: Role, scopes: frozenset[Permission] | None = None) -> frozenset[Permission]:
    """Return what a role may do, within the scopes of a token if there is one."""
    return GRANTS[role] if scopes is None else GRANTS[role] & scopes
