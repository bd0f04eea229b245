"""Concentrations of gases: from mass in a volume of air to parts of the volume, at the state that limits refer to."""

from __future__ import annotations

import math

GAS_CONSTANT = 8.314462618
"""J/(mol K), CODATA 2018."""

KELVIN, PRESSURE_PA = 293.15, 101_325.0
"""20 °C and one standard atmosphere: the state that occupational limits in mg/m3 refer to."""

MOLAR_VOLUME = GAS_CONSTANT * KELVIN / PRESSURE_PA * 1000
"""Litres that a mole of any ideal gas takes there: 24.055."""

DIGITS = 3
"""Significant digits of a limit that was converted: more than any detector tells apart."""


def mg_to_ppm(mg_per_m3: float, molar_mass: float) -> float:
    """Convert mg/m3 to ppm (parts of volume). ``molar_mass`` is in g/mol.

    ppm = mg/m3 * Vm / M with Vm = R T / p, the ideal gas law: 10 mg/m3 of H2S (34.08 g/mol) are 7.06 ppm at 20 °C.
    """
    return mg_per_m3 * MOLAR_VOLUME / molar_mass


def ppm_to_mg(ppm: float, molar_mass: float) -> float:
    """Convert ppm (parts of volume) to mg/m3: mg/m3 = ppm * M / Vm. ``molar_mass`` is in g/mol."""
    return ppm * molar_mass / MOLAR_VOLUME


def round_down(number: float) -> float:
    """Cut a positive number to `DIGITS` significant digits: a limit that is a maximum must not be rounded up."""
    if number <= 0:
        return number
    places = DIGITS - 1 - math.floor(math.log10(number))
    tens = 10.0**places
    return round(math.floor(number * tens + 1e-9) / tens, max(places, 0))
