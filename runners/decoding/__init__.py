"""From prompts to answers, one prefill for all levels."""
