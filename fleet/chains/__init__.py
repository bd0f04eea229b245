"""Chains: what a quake of a set intensity sets going elsewhere, as rules that a person can read.

quakes.service -> consider (notes the quake) -> settle, a task of upkeep: rule by rule, firing and commands at once
gateways' answers -> fleet.commands -> watch: who has not done it is an alarm of the fleet's own
"""
