"""The filter: thresholds, sweeps over them, and the stage."""
