"""From ranks to statistics: intervals, comparisons, slices."""
