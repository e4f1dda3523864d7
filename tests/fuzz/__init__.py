"""Seeded mutations of valid inputs for every door: whatever comes in is read, or refused in words."""
