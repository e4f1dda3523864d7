"""Everything a report says, as typed values; a report is their sum."""
