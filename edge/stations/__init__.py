"""Seismic stations: from the samples of an accelerometer to quakes, alarms and waveforms."""
